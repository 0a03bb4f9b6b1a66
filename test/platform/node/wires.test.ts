import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { NODE, type NodeDoor, openNodeDoor } from "../../support/node/door.ts";
import { openLine } from "../../support/socket.ts";
import { until, within } from "../../support/until.ts";
import { openWire } from "../../support/wire.ts";

setDefaultTimeout(60_000);

const SHAKE = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
const KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

describe.skipIf(NODE === undefined)("WebSockets in Node (needs node)", () => {
  let door: NodeDoor;
  beforeAll(async () => {
    door = await openNodeDoor();
  });
  afterAll(() => door[Symbol.asyncDispose]());

  /** A WebSocket as a client has it. */
  const open = async () => {
    const socket = new WebSocket(`${door.url.replace("http", "ws")}/ws`);
    const heard: string[] = [];
    socket.onmessage = ({ data }) => void heard.push(String(data));
    const closed = new Promise<CloseEvent>((resolve) => {
      socket.onclose = resolve;
    });
    const hears = (text: string) => until(`it hears ${text}`, () => heard.includes(text));
    await hears("welcome");
    return { socket, heard, hears, closed };
  };
  const texts = (wire: Awaited<ReturnType<typeof openWire>>) =>
    wire.received().map(({ text }) => text);

  test("a handshake is answered with the application's headers", async () => {
    const wire = await openWire(door.url, "/ws", { "sec-websocket-protocol": "one, two" });
    expect(wire.handshake).toStartWith("HTTP/1.1 101 ");
    expect(wire.handshake).toMatch(/^x-request-id: r-1\r?$/m);
    expect(wire.handshake).toMatch(/^sec-websocket-protocol: one\r?$/im);
    expect(wire.handshake).toMatch(/server_no_context_takeover/);
    wire.leave();
    await door.says("closed");
  });

  test.each([
    ["without a key", `${SHAKE}sec-websocket-version: 13\r\n\r\n`],
    ["of an old version", `${SHAKE}${KEY}sec-websocket-version: 8\r\n\r\n`],
  ])("a handshake %s gets an answer of HTTP, and its end", async (_what, bytes) => {
    const line = await openLine(door.url);
    line.send(bytes);
    await within("it ends", line.closed);
    expect(line.received()).toStartWith("HTTP/1.1 426 ");
    expect(line.received()).toMatch(/^upgrade: HTTP\/1\.1\r$/im);
    expect(line.received()).toEndWith("\r\n\r\nno handshake");
  });

  test("what asks to change over to something else is answered as before, its body too", async () => {
    const line = await openLine(door.url);
    const upgrade =
      "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n";
    line.send(`POST /count HTTP/1.1\r\nhost: x\r\n${upgrade}content-length: 6\r\n\r\nabc`);
    line.send("def");
    await within("it is counted", line.hears("\r\n\r\n6"));
    line.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await within("the connection serves on", line.hears("ok"));
    line.leave("close");
  });

  test("text is text and bytes are bytes", async () => {
    const { socket, hears } = await open();
    socket.send("grüß");
    await hears("text grüß");
    socket.send(new Uint8Array([1, 2, 255]));
    await hears("binary 1,2,255");
    socket.send("cork");
    await hears("part 2");
    socket.close();
  });

  test("frames are packed where it is wished, and only there", async () => {
    const wire = await openWire(door.url, "/ws", {});
    wire.send("short");
    wire.send("x".repeat(2000), true);
    wire.send("y".repeat(2000), true);
    await until("all is back", () => wire.received().length === 4);
    expect(wire.received()).toEqual([
      { text: "welcome", isPacked: false },
      { text: "text short", isPacked: false },
      { text: `text ${"x".repeat(2000)}`, isPacked: true },
      { text: `text ${"y".repeat(2000)}`, isPacked: true },
    ]);
    wire.leave();
  });

  test("a frame that is too large ends its connection with 1009, unpacked ones too", async () => {
    const { socket, closed } = await open();
    socket.send("x".repeat(100_001));
    expect((await within("it ends", closed)).code).toBe(1009);
    const wire = await openWire(door.url, "/ws", {});
    wire.send("x".repeat(1_000_000), true);
    await within("it ends", wire.closed);
    expect(texts(wire)).toEqual(["welcome"]);
  });

  test("it closes with a code and a reason, or without a word", async () => {
    const polite = await open();
    polite.socket.send("close");
    expect(await within("it ends", polite.closed)).toMatchObject({
      code: 4001,
      reason: "as asked",
    });
    const rude = await open();
    rude.socket.send("terminate");
    expect((await within("it ends", rude.closed)).code).toBe(1006);
  });

  test("a ping is answered, and that is told", async () => {
    const { socket } = await open();
    socket.send("ping");
    await door.says("pong");
    socket.close();
  });

  test("what goes out at once is no sign of the other side; what had to wait is told when it goes", async () => {
    await using other = await openNodeDoor();
    const wire = await openWire(other.url, "/ws", {});
    wire.send("short");
    await until("it is back", () => wire.received().length === 2);
    expect(other.lines().filter((line) => line.startsWith("drain"))).toEqual([]);
    wire.pause();
    wire.send("flood");
    expect(await other.says("waits")).toBe("waits true");
    expect(other.lines().filter((line) => line.startsWith("drain"))).toEqual([]);
    wire.resume();
    await other.says("drain 0");
    wire.leave();
  });

  test("of a frame that goes out slowly it is told in between", async () => {
    await using other = await openNodeDoor();
    const socket = connect(other.port, "127.0.0.1");
    // It takes a part, and the next one when it has been looked at again.
    socket.on("data", () => socket.pause());
    socket.write(`${SHAKE}${KEY}sec-websocket-version: 13\r\n\r\n`);
    socket.write(Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from("flood")]));
    await until("some has gone out, and some has not", () => {
      socket.resume();
      return other.lines().some((line) => /^drain [1-9]/.test(line));
    });
    socket.destroy();
  });

  test("a client for whom too much waits is cut off", async () => {
    await using other = await openNodeDoor();
    const wire = await openWire(other.url, "/ws", {});
    wire.pause();
    wire.send("too much");
    await other.says("closed");
    wire.leave();
  });
});
