/** What becomes of an order, by the rules of the services: the tests compare. */
import type { Order } from "./contracts.ts"

export const expected = ({ amount, article, card, city, speed }: Order): string =>
  ["piano", "unicorn"].includes(article)
    ? "OutOfStock"
    : card.startsWith("9") || amount > 500_000
      ? "CardDeclined"
      : speed === "express" && ["Atlantis", "Avalon", "Utopia"].includes(city)
        ? "NoCourier"
        : "committed"
