/** Light, dark, or as the system says. Kept in this browser. */
const kept = "effect-saga-theme"
const themes = ["auto", "light", "dark"]

export const theme = (): string => {
  const stored = localStorage.getItem(kept) ?? "auto"
  return themes.includes(stored) ? stored : "auto"
}

export const nextTheme = (to = themes[(themes.indexOf(theme()) + 1) % themes.length]!): void => {
  localStorage.setItem(kept, to)
  document.documentElement.dataset.theme = to
}
