/** What `effect-saga doctor` has looked at, and what it found there. */
export interface Check {
  readonly what: string
  readonly state: "ok" | "failed" | "skipped"
  readonly found: string
}

/** The own service, and the services that its sagas ask: a broker is asked about these. */
export interface AskedServices {
  readonly service: string
  readonly targets: ReadonlyArray<string>
}
