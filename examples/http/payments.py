"""python3 payments.py PORT DATABASE SECRET: a participant over HTTP (docs/protocol.md) with the standard library alone."""
import base64, contextlib, hashlib, hmac, json, sqlite3, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
PORT, DATABASE, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()

def charge(db, key, content):
    if content["amount"] > 1000:
        return 400, {"_tag": "CardDeclined", "amount": content["amount"]}
    db.execute("insert into payment values (?, ?)", (key, content["amount"]))
    return 200, key

def refund(db, key, content):
    db.execute("delete from payment where id = ?", (content["payment"],))
COMMANDS = {"Charge": charge, "Refund": refund}

def mac(*parts):
    text = "\n".join(("effect-saga-http-1", *parts)).encode()
    return base64.urlsafe_b64encode(hmac.digest(SECRET, text, "sha256")).rstrip(b"=").decode()

def decide(db, command, message):
    """The status and content of the answer, whether it is recorded, and whether there is an effect."""
    op, now, run = message["op"], time.time() * 1000, COMMANDS[command]
    execute = message["id"].replace(f":{op}", ":execute")
    if op == "execute":
        if now > message["notAfter"] + 300_000:
            return 500, "Refused", True, False
        status, content = run(db, message["id"], message.get("content"))
        return status, content, True, status == 200
    row = db.execute("select status, content, effect from record where id = ?", (execute,)).fetchone()
    if row is None and now > message["notAfter"] + (30 * 24 * 60 + 5) * 60_000:
        return 500, "Purged", False, False
    if row is None:  # It never ran, and now it never will.
        db.execute("insert into record values (?, null, 500, 'null', 0)", (execute,))
    if op == "probe":
        return (row[0], json.loads(row[1]), False, False) if row and row[0] in (200, 400) else (404, None, False, False)
    if row and row[2]:
        run(db, message["id"], message.get("content"))
        db.execute("update record set effect = 0 where id = ?", (execute,))
    lost = "recordedUntil" in message and (row is None or row[0] != 200)  # Another process has done it, with other records.
    return (500, "Unrecorded", False, False) if lost else (200, None, True, False)

def answer(sent):
    """The answer to a message, which is one transaction with its effect. None: it makes no sense."""
    message, sha = json.loads(sent["body"]), hashlib.sha256(sent["body"].encode()).hexdigest()
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=10, isolation_level=None)) as db:
        db.execute("begin immediate")
        known = db.execute("select sha, status, content from record where id = ?", (message["id"],)).fetchone()
        if message["op"] not in ("execute", "failure", "probe") or known and known[0] not in (None, sha):
            return None
        status, content, kept, effect = (known[1], json.loads(known[2]), 0, 0) if known else decide(db, sent["name"], message)
        if kept:
            db.execute("insert into record values (?, ?, ?, ?, ?)", (message["id"], sha, status, json.dumps(content), effect))
        db.execute("commit")
    reply = {**message, "id": message["id"] + ":reply", "op": "reply", "inReplyTo": message["id"], "status": status}
    return json.dumps({**reply, "content": content, "relatedServices": [message["service"]]})

class Route(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 1_048_576))
        key, sender, receiver, at, proof = (self.headers.get(f"saga-{it}", "0") for it in "key from to time signature".split())
        right = mac(key, sender, receiver, at, hashlib.sha256(body).hexdigest())
        if receiver != "payments" or not hmac.compare_digest(right, proof) or abs(time.time() * 1000 - int(at)) > 300_000:
            return self.send_error(401)
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.end_headers()
        for n, line in enumerate(body.decode().rstrip("\n").split("\n")):
            try:
                reply = answer(json.loads(line))
            except (ValueError, KeyError, TypeError):
                reply = None
            messages = [{"kind": "reply", "body": reply}] if reply else []
            text = json.dumps({"n": n, "status": 200 if reply else 400, "messages": messages})
            self.wfile.write(f"{mac('answer', proof, text)} {text}\n".encode())

with sqlite3.connect(DATABASE) as db:
    db.execute("create table if not exists record (id text primary key, sha text, status int, content text, effect int)")
    db.execute("create table if not exists payment (id text primary key, amount int)")
print("ready", flush=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Route).serve_forever()
