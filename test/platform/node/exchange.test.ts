import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dict, list, parseDict } from "../../../src/wire/json.ts";
import { NODE, type NodeDoor, openNodeDoor } from "../../support/node/door.ts";
import { openLine, postBytes } from "../../support/socket.ts";
import { within } from "../../support/until.ts";

setDefaultTimeout(60_000);

describe.skipIf(NODE === undefined)("requests and answers in Node (needs node)", () => {
  let door: NodeDoor;
  beforeAll(async () => {
    door = await openNodeDoor();
  });
  afterAll(() => door[Symbol.asyncDispose]());

  /** What comes back for these bytes, until the connection ends or `until` has come. */
  const ask = async (bytes: string | Uint8Array, until = "\u0000"): Promise<string> => {
    const line = await openLine(door.url);
    line.send(bytes);
    await within("an answer", line.hears(until));
    line.leave("close");
    return line.received();
  };
  const echoed = async (head: string): Promise<unknown> => {
    const text = await ask(`${head}\r\nconnection: close\r\n\r\n`);
    return JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
  };

  test("a request arrives whole: method, address, headers, body, and where it comes from", async () => {
    const response = await fetch(`${door.url}/echo?a=%20b`, {
      method: "POST",
      headers: { "x-one": "1" },
      body: "päivää",
    });
    const got = dict(parseDict(await response.text()));
    expect(got).toMatchObject({
      url: `${door.url}/echo?a=%20b`,
      method: "POST",
      body: "päivää",
      address: "127.0.0.1",
    });
    expect(list(got["headers"])).toContainEqual(["x-one", "1"]);
  });

  test.each([
    ["GET /echo HTTP/1.1\r\nhost: example.com:99", "http://example.com:99/echo"],
    ["GET http://other:1/echo?x HTTP/1.1\r\nhost: here", "http://here/echo?x"],
    ["GET /echo HTTP/1.1\r\nhost: a b", "http://localhost/echo"],
    ["GET /echo HTTP/1.1\r\nhost: me:secret@there", "http://localhost/echo"],
    ["GET /echo HTTP/1.1\r\nhost: here:99999", "http://localhost/echo"],
    ["GET /echo HTTP/1.0", "http://localhost/echo"],
    ["GET /echo HTTP/1.1\r\nhost: gpt", "http://localhost/echo"],
    ["GET /echo HTTP/1.1\r\nhost: gpt:80", "http://localhost/echo"],
    ["GET /echo HTTP/1.1\r\nhost: gpt:81", "http://gpt:81/echo"],
    ["GET /echo HTTP/1.1\r\nhost: [::1]:80", "http://[::1]/echo"],
  ])("%j has the address %s", async (head, url) => {
    expect(await echoed(head)).toMatchObject({ url });
  });

  test("headers that come twice are both there", async () => {
    const head = "GET /echo HTTP/1.1\r\nhost: here\r\nx-two: 1\r\nX-Two: 2";
    expect(await echoed(head)).toMatchObject({
      headers: expect.arrayContaining([["x-two", "1, 2"]]),
    });
  });

  test("a client that asks first is told to go on", async () => {
    const line = await openLine(door.url);
    line.send(
      "POST /count HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
    );
    await line.hears("100 Continue\r\n\r\n");
    line.send("abc");
    await line.hears("\r\n\r\n3");
    line.leave("close");
  });

  test("a body may come in chunks, and be large", async () => {
    const chunked = "transfer-encoding: chunked\r\nconnection: close";
    const text = await ask(
      `POST /count HTTP/1.1\r\nhost: x\r\n${chunked}\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
    );
    expect(text).toEndWith("\r\n\r\n5");
    const large = await fetch(`${door.url}/count`, {
      method: "POST",
      body: new Uint8Array(30_000_000),
    });
    expect(await large.text()).toBe("30000000");
  });

  test("a body that nobody reads stays with its client", async () => {
    const line = await openLine(door.url);
    const piece = "x".repeat(64 * 1024);
    line.send("POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n");
    for (let sent = 0; sent < 100; sent++) line.send(piece);
    await door.says("has one part");
    line.leave("reset");
  });

  test("what is left of a body after its answer does not hold up the next request", async () => {
    const body = "x".repeat(2_000_000);
    for (const path of ["/part", "/silently-ignored"]) {
      const line = await openLine(door.url);
      line.send(postBytes(`${door.url}${path}`, body, {}));
      line.send("GET /204?next HTTP/1.1\r\nhost: x\r\n\r\n");
      await within("the next answer", line.hears(" 204 "));
      line.leave("close");
    }
  });

  test("a header that HTTP does not allow ends its connection, and no more", async () => {
    expect(await ask("GET /bad-header HTTP/1.1\r\nhost: x\r\n\r\n")).toBe("");
    expect(await (await fetch(door.url)).text()).toBe("ok");
  });

  test("an answer in one piece says its length, and what an application may not say is left out", async () => {
    const text = await ask("GET /cookies HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect(text).toMatch(/^content-length: 7\r$/im);
    expect(text.match(/^set-cookie: .*$/gim)).toHaveLength(2);
    expect(text).toMatch(/^x-a: b\r$/im);
    expect(text).not.toMatch(/transfer-encoding|keep-alive: x|77/i);
  });

  test("HEAD, 204 and 304 have no body, and the connection serves on", async () => {
    const line = await openLine(door.url);
    for (const asked of ["HEAD /cookies", "GET /204", "GET /304"]) {
      line.send(`${asked} HTTP/1.1\r\nhost: x\r\n\r\n`);
    }
    line.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    await within("all is answered", line.closed);
    const statuses = line.received().match(/^HTTP\/1\.1 \d+/gm);
    expect(statuses).toEqual(["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 304", "HTTP/1.1 200"]);
    const [head = "", no = "", same = ""] = line.received().split(/(?<=\r\n\r\n)/);
    expect(head).toMatch(/^content-length: 7\r$/im);
    expect(no + same).not.toMatch(/content-length|transfer-encoding/i);
    expect(line.received()).toEndWith("\r\n\r\nok");
  });

  test("an answer to HEAD says how long the body is that its application has left out", async () => {
    for (const [asked, length] of [
      ["HEAD /head", 15],
      ["HEAD /head?empty", 15],
      ["GET /head", 0],
      ["HEAD /", 2],
    ]) {
      const text = await ask(`${asked} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect([asked, text]).toEqual([
        asked,
        expect.stringContaining(`\ncontent-length: ${length}\r`),
      ]);
    }
  });

  test("the head of a stream goes before anything of it is there", async () => {
    const line = await openLine(door.url);
    line.send("GET /open?name=early HTTP/1.1\r\nhost: x\r\n\r\n");
    await within("the head comes", line.hears("\r\n\r\n"));
    expect(line.received()).toMatch(/^HTTP\/1\.1 200[\s\S]*text\/event-stream/);
    line.leave("close");
    await door.says("cancelled");
    await door.says("aborted early");
  });

  test.each(["1.0", "1.1"])(
    "a stream that breaks off is no whole one in HTTP/%s",
    async (version) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: door.port,
        socket: {
          data: (_socket, bytes) => {
            got += bytes.toString();
          },
          close: (_socket, error) => resolve(error?.name ?? "clean"),
          end: () => {},
        },
      });
      let got = "";
      socket.write(`GET /broken HTTP/${version}\r\nhost: x\r\n\r\n`);
      const end = await within("it ends", promise);
      expect(got).toContain("data: half");
      expect(got).not.toEndWith("0\r\n\r\n");
      if (version === "1.0") expect(end).not.toBe("clean");
    },
  );

  test("an application that fails is answered for, and so is a method that Fetch forbids", async () => {
    expect(await ask("GET /throw HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).toStartWith(
      "HTTP/1.1 500 ",
    );
    expect(await ask("TRACE / HTTP/1.1\r\nhost: x\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  });

  test.each([
    ["before it is answered", "GET /silent?name=N HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["while its answer is on the way", "GET /slow?name=N HTTP/1.1\r\nhost: x\r\n\r\n"],
    [
      "in the middle of its body",
      "POST /body?name=N HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc",
    ],
  ])("a client that leaves %s aborts its request, by close and by reset", async (_when, bytes) => {
    for (const how of ["close", "reset"] as const) {
      const name = `${how}-${bytes.slice(5, 9)}`;
      const line = await openLine(door.url);
      line.send(bytes.replace("N", name));
      await door.says(`asked ${name}`);
      line.leave(how);
      await door.says(`aborted ${name}`);
    }
    if (bytes.startsWith("POST")) await door.says("body broke, aborted: true");
  });

  test("a request that was answered does not abort", async () => {
    const line = await openLine(door.url);
    line.send("GET /?name=whole HTTP/1.1\r\nhost: x\r\n\r\n");
    await line.hears("ok");
    line.leave("close");
    const other = await openLine(door.url);
    other.send("GET /silent?name=later HTTP/1.1\r\nhost: x\r\n\r\n");
    await door.says("asked later");
    other.leave("close");
    await door.says("aborted later");
    expect(door.lines()).not.toContain("aborted whole");
  });

  test("a client that does not read is not written to, and one that reads on gets it whole", async () => {
    const line = await openLine(door.url);
    line.pause();
    line.send("GET /flood?name=unread HTTP/1.1\r\nhost: x\r\n\r\n");
    const waits = await door.says("waits after");
    expect(Number(waits.slice("waits after ".length))).toBeLessThan(1_000_000);
    expect(door.lines()).not.toContain("all written");
    line.leave("reset");
    await door.says("cancelled unread");
    const whole = await fetch(`${door.url}/flood?name=read`);
    expect((await whole.bytes()).byteLength).toBe(64 * 1024 * 1024);
    await door.says("all written");
  });

  test("bodies by POST and their answers follow each other on one connection", async () => {
    const line = await openLine(door.url);
    for (const size of [1, 70_000, 3]) {
      line.send(postBytes(`${door.url}/count`, "x".repeat(size), {}));
      await within("it is counted", line.hears(`\r\n\r\n${size}`));
    }
    line.leave("close");
  });
});
