/**
 * The hashes and random bytes of Node, Bun and Deno. The module is asked for when this file is loaded, as effect asks for
 * its own: an import of `node:crypto` would make a bundler for browsers fail, also where a program shares only a contract
 * and never calls it.
 */

type NodeCrypto = typeof import("node:crypto")

/** Undefined in a browser, where no saga can run: the type leaves that out, for nothing here is called there. */
export const nodeCrypto: NodeCrypto = globalThis.process?.getBuiltinModule?.("node:crypto")
