/** The public part of `RequestContext`: for a server that starts sagas on behalf of requests. */
export { provide, RequestContext } from "../ports/RequestContext.ts"
export { relatedServices } from "../ports/RequestHeaders.ts"
