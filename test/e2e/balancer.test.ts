import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { defaults } from "../../src/config/schema.ts";
import { type Dict, dict, list, parseDict, text } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { streamedText, turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { BALANCERS, type Balancer, shippedNginx } from "../support/balancer.ts";
import { type Answer, call, type Entrance, eventsIn, lastType, post } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";
import { until, within } from "../support/until.ts";
import { openTalk } from "../support/websocket.ts";

setDefaultTimeout(60_000);

const MIB = 1024 * 1024;
// As many as must not all fall to one side by chance: each goes to the instance with fewer that run.
const SOME = 6;

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

let scenes = 0;

type Scene = AsyncDisposable & {
  readonly balancer: Balancer;
  readonly instances: readonly [TestProxy, TestProxy];
  readonly accounts: readonly [FakeAccount, FakeAccount];
};

/** Two instances, each with an account of its own, behind a balancer. */
async function begin(start: (typeof BALANCERS)[number]["start"]): Promise<Scene> {
  scenes += 1;
  const accounts = [
    backend.account(`balanced-${scenes}-a`),
    backend.account(`balanced-${scenes}-b`),
  ] as const;
  const [one, two] = await Promise.all(
    accounts.map((account) => startProxy({ backend, accounts: [account], binary: true })),
  );
  if (one === undefined || two === undefined) throw new Error("an instance is missing");
  const balancer = await start([one.url, two.url]);
  return {
    balancer,
    instances: [one, two],
    accounts,
    [Symbol.asyncDispose]: async () => {
      await balancer[Symbol.asyncDispose]();
      await Promise.all([one.stop(), two.stop()]);
    },
  };
}

/** Reads a stream until its events so far hold one of this type. */
async function readUntil(response: Response, type: string): Promise<readonly Dict[]> {
  const reader = response.body?.getReader();
  const parts: Uint8Array[] = [];
  for (;;) {
    const events = eventsIn(new Uint8Array(Buffer.concat(parts)));
    if (events.some((event) => event["type"] === type)) return events;
    const part = await reader?.read();
    if (part?.value === undefined) throw new Error(`it ended without ${type}`);
    parts.push(part.value);
  }
}

/** How many turns each instance has logged, once they are `count` in all. */
async function shares(instances: readonly TestProxy[], count: number): Promise<readonly number[]> {
  const each = () => instances.map(({ logs }) => logs().split(" request id=").length - 1);
  await until(`${count} turns are logged`, () => each().reduce((a, b) => a + b) >= count);
  return each();
}

// Caddy looks after the instances for each place of its configuration where they stand.
const PLACES = 3;

/** Waits until the balancer has found out by itself what became of an instance; nginx finds out as it asks. */
async function hasSeen(
  { name, logs }: Balancer,
  words: string,
  url: string,
  places = PLACES,
): Promise<void> {
  if (name !== "Caddy") return;
  const host = `"host":"${new URL(url).host}"`;
  await until(`Caddy says "${words}" of ${url}`, async () => {
    const lines = (await logs()).split("\n");
    return lines.filter((line) => line.includes(words) && line.includes(host)).length >= places;
  });
}

/** What a route of the owner's answers. */
async function owner(entrance: Entrance, method: string, path: string, body?: Dict): Promise<Dict> {
  const response = await fetch(`${entrance.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(entrance.authority === undefined ? {} : { tls: { ca: entrance.authority } }),
  });
  return { code: response.status, ...dict(parseDict(await response.text())) };
}

for (const { name, program, start } of BALANCERS) {
  describe.skipIf(program === null)(`behind ${name}, as we ship it`, () => {
    test("turns stream, to both instances, each with its request's id", async () => {
      await using scene = await begin(start);
      const { balancer, instances } = scene;
      const answers = await Promise.all(Array.from({ length: SOME }, () => call(balancer)));
      expect(answers.map(({ status }) => status)).toEqual(Array(SOME).fill(200));
      const each = await shares(instances, SOME);
      expect(each.every((count) => count > 0)).toBe(true);
      for (const { events, headers } of answers) {
        expect(lastType(events)).toBe("response.completed");
        expect(streamedText(events)).not.toBe("");
        const id = headers.get("x-request-id") ?? "none";
        expect(instances.some(({ logs }) => logs().includes(id))).toBe(true);
      }
    });

    test("an event arrives while the next one is not there yet, and who leaves ends the turn", async () => {
      await using scene = await begin(start);
      for (const account of scene.accounts) account.always({ kind: "hang-mid-text" });
      const leaving = new AbortController();
      const response = await post(scene.balancer, { signal: leaving.signal });
      const reading = readUntil(response, "response.output_text.delta");
      const events = await within("the first words arrive", reading);
      expect(lastType(events)).toBe("response.output_text.delta");
      expect(backend.openStreams()).toBe(1);
      leaving.abort();
      await until("the backend's stream is closed", () => backend.openStreams() === 0);
      const logged = () => scene.instances.some(({ logs }) => logs().includes("status=499"));
      await until("the turn is logged as left", logged);
    });

    test("a WebSocket talks, turn after turn", async () => {
      await using scene = await begin(start);
      const talk = await openTalk(scene.balancer);
      for (const words of ["one", "two"]) {
        talk.ask(words);
        expect(lastType(await talk.answer())).toBe("response.completed");
      }
      talk.close();
      expect(await within("the socket closes", talk.closed)).toBeLessThan(1006);
    });

    test("20 MB arrive whole, and what is too much is refused in the client's own protocol", async () => {
      await using scene = await begin(start);
      const words = "x".repeat(20 * MIB);
      const large = await call(scene.balancer, { body: turnBody(words) });
      expect(large.status).toBe(200);
      const [item] = list(dict(backend.turns().at(-1)?.body)["input"]).map(dict);
      const [part] = list(item?.["content"]).map(dict);
      expect(text(part?.["text"])?.length).toBe(words.length);

      const limit = Number(defaults()["max-body-bytes"]);
      const larger = await call(scene.balancer, { body: turnBody("x".repeat(limit)) });
      expect(larger.status).toBe(413);
      expect(text(larger.error["message"])).toContain("max-body-bytes");
    });

    test("turns go on while one instance after the other is restarted", async () => {
      await using scene = await begin(start);
      const { balancer, instances, accounts } = scene;
      await instances[0].stop();
      await hasSeen(balancer, "HTTP request failed", instances[0].url);
      for (let turn = 0; turn < SOME; turn++) expect((await call(balancer)).status).toBe(200);
      expect(await owner(balancer, "GET", "/stats")).toMatchObject({ code: 200 });

      const config = { listen: new URL(instances[0].url).host };
      await using back = await startProxy({
        backend,
        accounts: [accounts[0]],
        config,
        binary: true,
      });
      await hasSeen(balancer, "host is up", back.url);
      await instances[1].stop();
      await hasSeen(balancer, "HTTP request failed", instances[1].url);
      for (let turn = 0; turn < SOME; turn++) expect((await call(balancer)).status).toBe(200);
      expect((await shares([back], SOME))[0]).toBeGreaterThanOrEqual(SOME);
    });

    test("who has no account left says so itself, with the time when it has", async () => {
      await using scene = await begin(start);
      const { balancer, accounts, instances } = scene;
      for (const account of accounts) account.usage(100, 100, 3600);
      for (const instance of instances) await owner(instance, "POST", "/check-quota");
      for (const instance of instances) {
        expect(await owner(instance, "GET", "/health")).toMatchObject({ code: 503 });
      }
      for (const { url } of instances) await hasSeen(balancer, '"status_code":503', url, 1);
      const answers: Answer[] = [];
      for (let turn = 0; turn < SOME; turn++) answers.push(await call(balancer));
      expect(answers.map(({ status }) => status)).toEqual(Array(SOME).fill(429));
      expect(answers.map(({ error }) => error["type"])).toEqual(
        Array(SOME).fill("usage_limit_reached"),
      );
    });

    test("a login of the owner's ends where it began", async () => {
      await using scene = await begin(start);
      const { balancer } = scene;
      for (let round = 0; round < SOME; round++) {
        const begun = await owner(balancer, "POST", "/admin/login", { method: "device" });
        const path = `/admin/login/${String(begun["login_id"])}`;
        expect(await owner(balancer, "GET", path)).toMatchObject({ code: 200, state: "waiting" });
        expect(await owner(balancer, "DELETE", path)).toMatchObject({ code: 200 });
      }
    });
  });
}

test("nginx waits longer than the program does, and lets go of connections before it", async () => {
  const shipped = await shippedNginx();
  const seconds = (directive: string): number =>
    Number(new RegExp(`^\\s*${directive} (\\d+)s;`, "m").exec(shipped)?.[1]);
  const usual = defaults();
  expect(seconds("proxy_read_timeout")).toBeGreaterThan(usual["request-timeout-sec"]);
  expect(seconds("send_timeout")).toBeGreaterThan(usual["listen-idle-timeout-sec"]);
  expect(seconds("keepalive_timeout")).toBeLessThan(usual["listen-idle-timeout-sec"]);
});
