/**
 * The dashboard: what needs a person, what waits, what became of one execution, and the actions of an operator, under a path of
 * the application's own HTTP server. `DashboardAuth` says who is let in; nobody is by default.
 */
export * as Dashboard from "./console/dashboard/Dashboard.ts"
export { DashboardApi, writeHeader } from "./console/dashboard/DashboardApi.ts"
export { DashboardAuth, type Visitor } from "./console/dashboard/DashboardAuth.ts"
export * as LocalDashboard from "./console/dashboard/LocalDashboard.ts"
export { DashboardNotServed } from "./console/dashboard/LocalServer.ts"
