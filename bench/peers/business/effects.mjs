// What the services do to their tables, as plain SQL for engines that are not Effect: the statements of `examples/order`. A function
// that has run may run again, as after a crash before the engine has noted it; then it changes nothing.
import postgres from "postgres"

/** A refusal of the business: what has been done is undone. Nothing has been changed. */
export class Refused extends Error {}

/** As many connections as the other engines have. */
export const options = ({ pg, schema }) => {
  const { hostname, pathname, port, username } = new URL(pg)
  return {
    ...{ host: hostname, port: Number(port), username, database: pathname.slice(1), max: 10 },
    connection: { search_path: schema },
    onnotice: () => {}
  }
}

export const connect = (start) => postgres(options(start))

/** Two statements, so `sql` is a transaction. */
export const reserve = async (sql, { amount, article, orderId, quantity }) => {
  const added = await sql`insert into reservation (id, article, quantity, amount, confirmed)
    values (${orderId}, ${article}, ${quantity}, ${amount}, false) on conflict do nothing returning id`
  if (added.length === 0) return
  const taken = await sql`update stock set pieces = pieces - ${quantity}
    where article = ${article} and pieces >= ${quantity} returning article`
  if (taken.length === 0) throw new Refused("out of stock")
}

export const release = async (sql, { orderId }) => {
  await sql`with given_back as (delete from reservation where id = ${orderId} returning article, quantity)
    update stock set pieces = pieces + quantity from given_back where stock.article = given_back.article`
}

export const confirm = async (sql, { orderId }) => {
  await sql`update reservation set confirmed = true where id = ${orderId}`
}

/** Refuses before the statement, so that a refusal costs none. */
export const acceptCard = ({ amount, card }) => {
  if (card.startsWith("9")) throw new Refused("stolen")
  if (amount > 500_000) throw new Refused("over the limit")
}

export const charge = async (sql, { amount, orderId }) => {
  const paymentId = `payment-${orderId}`
  await sql`insert into payment (id, order_id, amount, refunded)
    values (${paymentId}, ${orderId}, ${amount}, false) on conflict do nothing`
  return { paymentId }
}

export const refund = async (sql, { paymentId }) => {
  await sql`update payment set refunded = true where id = ${paymentId}`
}

export const acceptCity = ({ city }) => {
  if (["Atlantis", "Avalon", "Utopia"].includes(city)) throw new Refused("no courier")
}

/** A parcel by courier or by post. */
export const send = async (sql, { city, orderId }, express) => {
  const id = `${express ? "courier" : "label"}-${orderId}`
  await sql`insert into parcel (id, order_id, city, express)
    values (${id}, ${orderId}, ${city}, ${express}) on conflict do nothing`
  return { id }
}
