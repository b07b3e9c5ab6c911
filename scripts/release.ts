/**
 * `npm run release`: everything that a release needs but publishing itself. It stops at the first thing that is wrong, and
 * ends with the commands that publish what it has packed and tested.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const read = (file: string): string => readFileSync(join(root, file), "utf8")

const say = (text: string): void => console.log(`\n== ${text}`)

const stop = (reason: string): never => {
  console.error(`\n${reason}\nNothing is released.`)
  process.exit(1)
}

const answer = (command: string, ...rest: ReadonlyArray<string>): string =>
  execFileSync(command, rest, { cwd: root, encoding: "utf8" }).trim()

const run = (command: string, ...rest: ReadonlyArray<string>): void => {
  say([command, ...rest].join(" "))
  try {
    execFileSync(command, rest, { cwd: root, stdio: "inherit" })
  } catch {
    stop(`${command} ${rest.join(" ")} failed.`)
  }
}

const clean = (): void => {
  const changes = answer("git", "status", "--porcelain")
  if (changes !== "") stop(`The tree is not clean:\n${changes}`)
}

say("version and changelog")
clean()
const { name, version } = JSON.parse(read("package.json"))
const tag = `v${version}`
for (const file of ["package-lock.json", "deno.json"])
  if (JSON.parse(read(file)).version !== version) stop(`${file} has another version than package.json, ${version}.`)
const [, latest, date] = /^## (.+?)(?:, (\d{4}-\d{2}-\d{2}))?$/m.exec(read("CHANGELOG.md")) ?? []
if (latest !== version) stop(`CHANGELOG.md begins with "${latest}", and the version is ${version}.`)
if (date === undefined) stop(`CHANGELOG.md says no date for ${version}.`)
if (answer("git", "tag", "--list", tag) !== "") stop(`The tag ${tag} is there already.`)
console.log(`${name} ${version}, ${date}`)

run("npm", "ci")
run("npm", "run", "check")
run("npm", "run", "lint")
run("npm", "test")
run("npm", "run", "api:check")
run("npm", "run", "size")
run("bash", ".ci/package")

say("npm pack")
const [{ filename, files, size }] = JSON.parse(answer("npm", "pack", "--json", "--ignore-scripts"))
console.log(`${filename}: ${files.length} files, ${(size / 1024).toFixed(0)} kB`)
clean()

console.log(`
Ready. The whole of .ci/run must be green for this commit too. To publish:

  git tag ${tag} && git push origin ${tag}
  npm publish ${filename}
  npm exec --package=deno@2.9.5 -- deno publish --allow-slow-types`)
