/** The files of the page under the path of the dashboard. They hold no data; even so nobody sees them who is not let in. */
import { Effect, type Layer } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import * as CanonicalJson from "../../wire/CanonicalJson.ts"
import { DashboardAuth } from "./DashboardAuth.ts"
import { files, type PageFile } from "./PageFiles.ts"
import { isFresh, secured } from "./Security.ts"

type Answer = (request: HttpServerRequest.HttpServerRequest) => HttpServerResponse.HttpServerResponse

/** `base`: the path without a slash at its end; empty for the root. `openapi`: the description of the API. */
export const routes = (
  base: string,
  openapi: string
): Layer.Layer<never, never, DashboardAuth | HttpRouter.HttpRouter> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const auth = yield* DashboardAuth
      const serve = (path: string, answer: Answer) =>
        router.add("GET", `/${`${base}${path}`.slice(1)}`, (request) =>
          Effect.match(auth.visitor(request), {
            onFailure: (refused) => secured(refused, "no-store"),
            onSuccess: ({ may }) => (may.has("read") ? answer(request) : notAllowed)
          })
        )
      for (const file of files) yield* serve(`/${file.name}`, answerOf(file))
      yield* serve("/api/openapi.json", answerOf({ name: "", type: "application/json", text: openapi }))
      // Addresses in the page are relative, so it has to stand in a folder. So is this one, for proxies that cut the path.
      const toFolder = HttpServerResponse.redirect(`./${base.slice(base.lastIndexOf("/") + 1)}/`)
      const page = answerOf(files.find(({ name }) => name === "index.html")!)
      yield* serve("/", (request) =>
        base === "" || request.originalUrl.split("?")[0]!.endsWith("/") ? page(request) : secured(toFolder, "no-cache")
      )
    })
  )

const notAllowed = secured(HttpServerResponse.text("You may not see this", { status: 403 }), "no-store")

const answerOf = ({ text, type }: PageFile) => {
  const etag = `"${CanonicalJson.sha256OfText(text).slice(0, 32)}"`
  const headers = { etag }
  return (request: HttpServerRequest.HttpServerRequest) =>
    secured(
      isFresh(request, etag)
        ? HttpServerResponse.empty({ status: 304, headers })
        : HttpServerResponse.text(text, { contentType: type, headers }),
      "no-cache"
    )
}
