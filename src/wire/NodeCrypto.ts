/**
 * The hashes and random bytes of Node, Bun and Deno. No import, because a bundler for browsers fails at an import of
 * `node:crypto`, also where a program shares only a contract and calls nothing of it.
 */

type NodeCrypto = typeof import("node:crypto")

/** Undefined in a browser. The type leaves that out: contracts, the only use of this library there, call none of it. */
export const nodeCrypto: NodeCrypto = globalThis.process?.getBuiltinModule?.("node:crypto")
