/** The expected outcome of an order, by the rules of the services. Tests compare it with the real one. */
import type { Order } from "./contracts.ts"

export const expected = ({ amount, article, card, city, speed }: Order): string =>
  ["piano", "unicorn"].includes(article)
    ? "OutOfStock"
    : card.startsWith("9") || amount > 500_000
      ? "CardDeclined"
      : speed === "express" && ["Atlantis", "Avalon", "Utopia"].includes(city)
        ? "NoCourier"
        : "committed"
