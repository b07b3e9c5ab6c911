/** What every answer of the dashboard carries, and what a write must carry. */
import { Option } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { writeHeader } from "./DashboardApi.ts"

/** Scripts, styles and requests only of the own origin; no frame of another page around it; no guessing of types. */
const headers = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
}

/** `cache`: what a browser may keep. */
export const secured = (
  response: HttpServerResponse.HttpServerResponse,
  cache: "no-cache" | "no-store"
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(response, { ...headers, "cache-control": cache })

/** Why a write is not from the page; undefined: it may be. */
export const foreign = ({ headers }: Pick<HttpServerRequest.HttpServerRequest, "headers">): string | undefined => {
  if (headers[writeHeader] === undefined) return `A write has the header ${writeHeader}`
  const site = headers["sec-fetch-site"]
  // A browser says where a request comes from; other programs do not.
  return site === undefined || site === "same-origin" || site === "none" ? undefined : "It comes from another site"
}

export const isFresh = (request: HttpServerRequest.HttpServerRequest, etag: string): boolean =>
  Option.fromNullishOr(request.headers["if-none-match"]).pipe(
    Option.exists((known) => known.split(",").some((one) => one.trim().replace(/^W\//, "") === etag))
  )
