#!/bin/bash
# ./all.sh m|d: the whole matrix, one JSON line each, appended to results.jsonl
cd "$(dirname "$0")" || exit 1
run() { timeout 240 node --expose-gc run.mjs "$@" 2>>errors.log | tail -1 | tee -a results.jsonl; }
case $1 in
  m) peers="effect saga-memory node-sagas workflow-memory" ;;
  d) peers="handmade:write=batch saga-postgres dbos restate openworkflow openworkflow:mode=watch cluster" ;;
  *) exit 2 ;;
esac
for scenario in success failure; do
  for peer in $peers; do
    for inFlight in 1 64; do run "$peer" "$scenario" "$inFlight" 4 3; done
  done
done
