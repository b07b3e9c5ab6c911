/** The dashboard's API, from the page. Addresses are relative, so that it works under any path and behind any proxy. */
import type {
  Act,
  Attention,
  Decide,
  Detail,
  Done,
  Me,
  News,
  Overview,
  Rows,
  SagaForm,
  Values,
  Waiting
} from "../src/console/dashboard/Forms.ts"

export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const ask = async <A>(path: string, init: RequestInit = {}): Promise<A> => {
  const response = await fetch(`api/${path}`, { cache: "no-store", credentials: "same-origin", ...init }).catch(() => {
    throw new Refused(0, "The server does not answer")
  })
  const body = await response.json().catch(() => undefined)
  if (response.ok) return body as A
  throw new Refused(
    response.status,
    typeof body?.why === "string" ? body.why : (sentences[response.status] ?? `Status ${response.status}`)
  )
}

const sentences: Record<number, string> = {
  401: "You are not signed in any more",
  403: "You may not do this",
  404: "It is not there any more",
  503: "The database does not answer"
}

const post = <A>(path: string, body: unknown): Promise<A> =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-effect-saga": "dashboard" },
    body: JSON.stringify(body)
  })

const id = encodeURIComponent

export const me = () => ask<Me>("me")
export const overview = () => ask<Overview>("overview")
export const executions = (query: URLSearchParams) => ask<Rows>(`executions?${query}`)
export const execution = (uuid: string) => ask<Detail>(`executions/${id(uuid)}`)
export const values = (uuid: string) => ask<Values>(`executions/${id(uuid)}/values`)
export const attention = () => ask<Attention>("attention")
export const waiting = () => ask<Waiting>("waiting")
export const deadLetters = () =>
  ask<
    ReadonlyArray<{ receivedAt: number; topic: string; sender: string; reason: string; size: number; sha256: string }>
  >("dead-letters")
export const sagas = () => ask<ReadonlyArray<SagaForm>>("sagas")
export const processes = () => ask<Overview["processes"]>("processes")
export const act = (uuid: string, act: Act) => post<Done>(`executions/${id(uuid)}/actions`, act)
export const decide = (decide: Decide) => post<Done>("doubts", decide)

/**
 * Calls back when the database has changed, with the names of databases that do not answer; `live` tells whether it still hears. With a
 * uuid also of that execution. Gives its end.
 */
export const news = (
  uuid: string | undefined,
  changed: (missing: ReadonlyArray<string>, refused: Readonly<Record<string, string>>) => void,
  live: (is: boolean) => void
): (() => void) => {
  const source = new EventSource(`api/events${uuid === undefined ? "" : `?uuid=${id(uuid)}`}`)
  source.onopen = () => live(true)
  source.onerror = () => live(false)
  let heard: string | undefined
  source.onmessage = ({ data }) => {
    const { missing = [], refused = {}, state } = JSON.parse(data) as News
    const next = JSON.stringify([state, missing, refused])
    // Also at the first one: what has changed between the page's own look and the begin of the stream is in no later news.
    if (next !== heard) changed(missing, refused)
    heard = next
  }
  return () => source.close()
}
