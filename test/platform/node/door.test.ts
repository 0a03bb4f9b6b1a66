import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { NODE, openNodeDoor } from "../../support/node/door.ts";
import { hasOpenssl, makeCertificate } from "../../support/pem.ts";
import { openLine } from "../../support/socket.ts";
import { within } from "../../support/until.ts";
import { openWire } from "../../support/wire.ts";

setDefaultTimeout(60_000);

describe.skipIf(NODE === undefined)("the door in Node (needs node)", () => {
  test("takes a port for itself alone, and says so where it cannot", async () => {
    await using door = await openNodeDoor();
    expect(openNodeDoor({ port: door.port })).rejects.toThrow("EADDRINUSE");
  });

  test("is open on all addresses where none is named", async () => {
    await using door = await openNodeDoor({ hostname: "" });
    for (const host of ["127.0.0.1", "[::1]"]) {
      const response = await fetch(`http://${host}:${door.port}/`);
      expect(await response.text()).toBe("ok");
    }
  });

  test("takes heads up to the limit, and answers larger ones with 431", async () => {
    await using door = await openNodeDoor({ maxHeaderBytes: 40_000 });
    const statusWith = async (bytes: number): Promise<number> => {
      const headers = { "x-large": "a".repeat(bytes) };
      return (await fetch(door.url, { headers })).status;
    };
    expect(await statusWith(38_000)).toBe(200);
    expect(await statusWith(41_000)).toBe(431);
    const many = Array.from({ length: 3000 }, (_, at) => `x${at}: 1\r\n`).join("");
    const line = await openLine(door.url);
    line.send(`GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${many}\r\n`);
    await within("an answer", line.closed);
    expect(line.received()).toContain('["x2999","1"]');
  });

  test.each([
    "garbage\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  ])("%j is answered with 400 or an end, and harms nobody", async (bytes) => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    line.send(bytes);
    await within("it ends", line.closed);
    expect(line.received()).toStartWith("HTTP/1.1 400 ");
    expect(await (await fetch(door.url)).text()).toBe("ok");
  });

  test("ends what is silent, and heads that trickle, but nothing that is held", async () => {
    await using door = await openNodeDoor({ idleSec: 1 });
    const open = async (bytes: string) => {
      const line = await openLine(door.url);
      line.send(bytes);
      return line;
    };
    const held = await open("GET /silent?seconds=0 HTTP/1.1\r\nhost: x\r\n\r\n");
    const trickling = await open("GET / HTTP/1.1\r\nx: ");
    const drip = setInterval(() => trickling.send("a"), 100);
    const silent = [
      await open(""),
      await open("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
      await open("GET /silent?seconds=1&name=short HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    await within("they end", Promise.all([...silent, trickling].map(({ closed }) => closed)));
    clearInterval(drip);
    await door.says("aborted short");
    expect(door.lines()).not.toContain("aborted /silent");
    held.leave("close");
    await door.says("aborted /silent");
  });

  test.each([
    ["a WebSocket", "GET /ws HTTP/1.1\r\nupgrade: websocket", "welcome"],
    ["HTTP/2", "GET /echo HTTP/1.1\r\nupgrade: h2c", '"method":"GET"'],
  ])("who asks for %s before the last answer is out gets both in turn", async (_, head, words) => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    const key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const asked = `${head}\r\nhost: x\r\nconnection: upgrade\r\n${key}\r\n`;
    line.send(`GET /slow HTTP/1.1\r\nhost: x\r\n\r\n${asked}`);
    await line.hears("begun");
    door.tell("go on");
    await line.hears(words);
    expect(line.received()).toMatch(new RegExp(`begun [^]*ended\\r\\n0\\r\\n\\r\\n[^]*${words}`));
    expect(await (await fetch(door.url)).text()).toBe("ok");
  });

  test("who leaves before either answer harms nobody", async () => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    const asked =
      "GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    line.send(`GET /slow HTTP/1.1\r\nhost: x\r\n\r\n${asked}`);
    await line.hears("begun");
    line.leave("reset");
    door.tell("go on");
    expect(await (await fetch(door.url)).text()).toBe("ok");
    door.tell("stop");
    await door.says("stopped");
  });

  test("a large answer goes on for who asks for HTTP/2 meanwhile", async () => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    const asked = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n";
    line.send(`GET /flood HTTP/1.1\r\nhost: x\r\n\r\n${asked.repeat(3)}`);
    await door.says("all written");
    await line.hears("ok");
  });

  test("whoever asks for HTTP/2 with each request leaves nothing behind", async () => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    for (let asked = 0; asked < 30; asked++) {
      line.send(
        `GET /echo?${asked} HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n`,
      );
      await line.hears(`/echo?${asked}"`);
    }
    expect(door.lines().filter((said) => said.startsWith("warning"))).toEqual([]);
  });

  test("a connection that was held is idle again after its answer", async () => {
    await using door = await openNodeDoor({ idleSec: 1 });
    const line = await openLine(door.url);
    line.send("GET /echo HTTP/1.1\r\nhost: x\r\n\r\n");
    await line.hears("}");
    await within("it ends", line.closed);
  });

  test("lets what is under way end when it is told to stop", async () => {
    await using door = await openNodeDoor();
    const [idle, busy] = [await openLine(door.url), await openLine(door.url)];
    idle.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await idle.hears("ok");
    busy.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    await busy.hears("begun");
    door.tell("stop");
    await within("the idle one ends", idle.closed);
    expect(fetch(door.url)).rejects.toThrow();
    expect(door.lines()).not.toContain("stopped");
    door.tell("go on");
    await door.says("stopped");
    await busy.closed;
    expect(busy.received()).toMatch(/ended\r\n0\r\n\r\n$/);
  });

  test("cuts what is left when it is told to stop now", async () => {
    await using door = await openNodeDoor();
    const line = await openLine(door.url);
    line.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    await line.hears("begun");
    const wire = await openWire(door.url, "/ws", {});
    door.tell("stop");
    door.tell("stop now");
    await door.says("stopped now");
    await Promise.all([line.closed, wire.closed]);
    await door.says("stopped");
    expect(line.received()).not.toEndWith("0\r\n\r\n");
  });

  test.skipIf(!hasOpenssl)("speaks TLS, and HTTP/1.1 in it (needs openssl)", async () => {
    await using pem = await makeCertificate(90);
    const cert = await Bun.file(pem.certPath).text();
    const key = await Bun.file(pem.keyPath).text();
    await using door = await openNodeDoor({ certificate: { cert, key } });
    const url = door.url.replace("http", "https");
    const answer = await fetch(`${url}/echo`, { tls: { ca: cert } });
    expect(await answer.json()).toMatchObject({ url: `${url}/echo` });
    const plain = await openLine(door.url);
    plain.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await within("it ends", plain.closed);
    expect(plain.received()).toBe("");
    const broken = fetch(`${url}/broken`, { tls: { ca: cert } });
    expect(broken.then((response) => response.text())).rejects.toThrow();
  });

  test.skipIf(!hasOpenssl)(
    "whoever has not begun TLS holds up no end (needs openssl)",
    async () => {
      await using pem = await makeCertificate(90);
      const cert = await Bun.file(pem.certPath).text();
      const key = await Bun.file(pem.keyPath).text();
      await using door = await openNodeDoor({ certificate: { cert, key } });
      const url = door.url.replace("http", "https");
      const silent = await openLine(door.url);
      // Taken in the order of their coming: the silent one has been, too.
      const slow = await fetch(`${url}/slow`, { tls: { ca: cert } });
      door.tell("stop");
      await within("the silent one ends", silent.closed);
      expect(door.lines()).not.toContain("stopped");
      door.tell("go on");
      expect(await slow.text()).toBe("begun ended");
      await door.says("stopped");
    },
  );
});
