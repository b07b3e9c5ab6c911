pg_dump "$SAGA_PG_URL" --format=custom --schema=orders --file=orders.dump
pg_restore --dbname="$RESTORED_URL" orders.dump
npx effect-saga doctor --url "$RESTORED_URL" --schema orders     # tables, rights, migrations, clock
npx effect-saga stats --url "$RESTORED_URL" --schema orders      # compare with the numbers from before
npx effect-saga attention --url "$RESTORED_URL" --schema orders  # what a person has to look at first
