import { describe, expect, test } from "bun:test";
import type { Work } from "../../src/engine/work.ts";
import { replyWithProgress } from "../../src/server/progress.ts";
import type { Stop } from "../../src/turn/stop.ts";

const TWO: Work = async (report) => {
  report.start(2);
  report.item({ account: "a", outcome: "renewed" });
  report.item({ account: "b", outcome: "failed" });
  return { renewed: 1, failed: 1 };
};

function ask(accept: string, signal?: AbortSignal): Request {
  return new Request("http://localhost/refresh", {
    method: "POST",
    headers: { accept },
    ...(signal === undefined ? {} : { signal }),
  });
}

const faults: unknown[] = [];
const onFault = (cause: unknown): void => void faults.push(cause);

describe("progress", () => {
  test("who accepts a stream gets an event for each step, named twice", async () => {
    const response = await replyWithProgress(ask("text/event-stream"), TWO, onFault);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(await response.text()).toBe(
      'event: start\ndata: {"type":"start","total":2}\n\n' +
        'event: item\ndata: {"type":"item","account":"a","outcome":"renewed"}\n\n' +
        'event: item\ndata: {"type":"item","account":"b","outcome":"failed"}\n\n' +
        'event: done\ndata: {"type":"done","renewed":1,"failed":1}\n\n',
    );
  });

  test("everybody else gets one object with all of it", async () => {
    const response = await replyWithProgress(ask("application/json"), TWO, onFault);
    expect(await response.json()).toEqual({
      renewed: 1,
      failed: 1,
      items: [
        { account: "a", outcome: "renewed" },
        { account: "b", outcome: "failed" },
      ],
    });
  });

  test("a fault of our own ends the stream with an error that tells no more than it may", async () => {
    const broken: Work = async (report) => {
      report.start(1);
      throw new Error("secret inside");
    };
    const response = await replyWithProgress(ask("text/event-stream"), broken, onFault);
    const said = await response.text();
    expect(said).toContain("event: error");
    expect(said).not.toContain("secret");
    expect(String(faults.at(-1))).toContain("secret inside");
    expect(replyWithProgress(ask("*/*"), broken, onFault)).rejects.toThrow("secret");
  });

  test("the work hears that its client has left, and goes on without being told", async () => {
    let stop: Pick<Stop, "reason"> | undefined;
    const done = Promise.withResolvers<void>();
    const slow: Work = async (report, given) => {
      stop = given;
      report.start(1);
      await done.promise;
      report.item({ account: "a" });
      return {};
    };
    const response = await replyWithProgress(ask("text/event-stream"), slow, onFault);
    await response.body?.cancel();
    expect(stop?.reason()?.kind).toBe("client-left");
    done.resolve();
    const gone = new AbortController();
    gone.abort();
    await replyWithProgress(ask("*/*", gone.signal), slow, onFault);
    expect(stop?.reason()?.kind).toBe("client-left");
  });
});
