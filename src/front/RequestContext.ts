/** The public part of `RequestContext`: for a server that starts sagas on behalf of requests. */
export { provide, RequestContext, relatedServices } from "../ports/RequestContext.ts"
