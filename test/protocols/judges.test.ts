import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, type LanguageModel, streamText } from "ai";
import { createProtocols } from "../../src/protocols/registry.ts";
import type { Json } from "../../src/wire/json.ts";
import { CLIENTS, type Client, exchangeOf } from "./clients.ts";
import { batchesOf, encode, eventsIn, portsOf, recordingOf, TURNS, terminalOf } from "./turns.ts";

// The AI SDK warns of models that it does not know.
Reflect.set(globalThis, "AI_SDK_LOG_WARNINGS", false);

const ROOT = join(import.meta.dirname, "../..");

// What others expect of each protocol's answers: the AI SDK's schemas, and the types of the API's own SDK.
type Judge = {
  readonly model: (answer: () => Response) => LanguageModel;
  /** The types of a stream's event and of a body, as TypeScript; none where the answer is the backend's own. */
  readonly types?: { readonly imports: string; readonly event: string; readonly body: string };
  /** Turns with something in them that this judge does not know, and why that is right. */
  readonly strange: Readonly<Record<string, string>>;
};

const CUSTOM = "the AI SDK's Chat schema knows no custom tools, and its users cannot offer any";

const JUDGES: Readonly<Record<string, Judge>> = {
  responses: {
    model: (answer) => createOpenAI({ apiKey: "made-up", fetch: fetchOf(answer) })("gpt-5.4"),
    strange: {},
  },
  chat: {
    model: (answer) => createOpenAI({ apiKey: "made-up", fetch: fetchOf(answer) }).chat("gpt-5.4"),
    types: {
      imports: 'import type OpenAI from "openai";',
      event: "OpenAI.Chat.ChatCompletionChunk",
      body: "OpenAI.Chat.ChatCompletion",
    },
    strange: { "custom-tool": CUSTOM, "custom-tool-lines": CUSTOM },
  },
  messages: {
    model: (answer) => createAnthropic({ apiKey: "made-up", fetch: fetchOf(answer) })("gpt-5.4"),
    types: {
      imports: 'import type Anthropic from "@anthropic-ai/sdk";',
      event: "Anthropic.RawMessageStreamEvent",
      body: "Anthropic.Message",
    },
    strange: {},
  },
};

const protocols = createProtocols(portsOf());

/** What a client gets for a turn: the stream, and the body where the turn has one. */
function answersTo(client: Client, turn: string) {
  const protocol = protocols.find(({ name }) => name === client.protocol);
  if (protocol === undefined) throw new Error(`There is no ${client.protocol}.`);
  const exchange = exchangeOf(client, protocol);
  const recording = recordingOf(turn);
  const stream = encode(exchange.stream(), [recording]);
  const { role } = terminalOf(recording);
  const hasFailed = role === "failed" || role === "error";
  const encoder = exchange.body();
  for (const steps of batchesOf([recording])) encoder.push(steps);
  const body: Json | undefined = hasFailed ? undefined : encoder.end();
  return { stream, body, hasFailed };
}

const judged = CLIENTS.flatMap((client) => {
  const judge = JUDGES[client.golden];
  const isThere = protocols.some(({ name }) => name === client.protocol);
  return judge !== undefined && isThere ? [[client.golden, client, judge] as const] : [];
});

describe.each(judged)("the AI SDK on %s", (_golden, client, judge) => {
  const turns = TURNS.filter((turn) => !(turn in judge.strange));

  test.each(turns)("reads the stream of %s by its own schema", async (turn) => {
    const { stream, hasFailed } = answersTo(client, turn);
    const headers = { "content-type": "text/event-stream" };
    const model = judge.model(() => new Response(Buffer.from(stream), { headers }));
    const errors: string[] = [];
    const result = streamText({ model, prompt: "Hi", maxRetries: 0, onError: () => {} });
    for await (const part of result.stream) {
      if (part.type === "error") errors.push(nameOf(part.error));
    }
    expect(errors.filter(isSchemaFault)).toEqual([]);
    expect(errors.length > 0).toBe(hasFailed);
  });

  test.each(turns)("reads the body of %s by its own schema", async (turn) => {
    const { body } = answersTo(client, turn);
    if (body === undefined) return;
    const model = judge.model(() => Response.json(body));
    const outcome = await generateText({ model, prompt: "Hi", maxRetries: 0 }).then(
      () => "read",
      (cause: unknown) => nameOf(cause),
    );
    expect(outcome).toBe("read");
  });
});

function fetchOf(answer: () => Response): typeof fetch {
  return Object.assign(async () => answer(), { preconnect: () => {} });
}

/** An error's name and those of its causes. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error);
  return error.cause instanceof Error ? `${error.name} < ${nameOf(error.cause)}` : error.name;
}

/** What the SDK says when an answer does not fit its schema. A tool that was not offered is none of that. */
function isSchemaFault(name: string): boolean {
  return /TypeValidation|JSONParse|InvalidResponse|UnsupportedFunctionality/.test(name);
}

// What the types require must be there and be right. More fields may be there, such as `reasoning_content`.
const PRELUDE = `type Others = { readonly [name: string]: unknown };
type Wire<T> = T extends string | number | boolean | null | undefined ? T : T extends readonly (infer E)[] ? readonly Wire<E>[]
  : T extends object ? Others & { readonly [K in keyof T]: Wire<T[K]> } : T;
declare function is<T>(value: Wire<T>): void;`;

describe.each(judged.filter(([, , { types }]) => types !== undefined))(
  "the official SDK's types on %s",
  (golden, client, { types }) => {
    test("hold for every event and every body", async () => {
      if (types === undefined) throw new Error("there are none");
      const lines = [types.imports, ...PRELUDE.split("\n")];
      const check = (turn: string, type: string, value: Json): void => {
        const name = `value${lines.length}`;
        lines.push(
          `const ${name} = ${JSON.stringify(value)} as const; is<${type}>(${name}); // ${turn}`,
        );
      };
      for (const turn of TURNS) {
        const { stream, body } = answersTo(client, turn);
        const events = eventsIn(stream).filter((event) => !client.isFailure(event));
        for (const event of events) check(turn, types.event, JSON.parse(JSON.stringify(event)));
        if (body !== undefined) check(turn, types.body, body);
      }
      expect(await compile(`${golden}.ts`, lines)).toEqual([]);
    }, 60_000);
  },
);

test("the compiler is no judge who nods at everything", async () => {
  const lines = ['import type OpenAI from "openai";', ...PRELUDE.split("\n")];
  const chunk = { id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{}] };
  lines.push(`const value = ${JSON.stringify(chunk)} as const;`);
  lines.push("is<OpenAI.Chat.ChatCompletionChunk>(value); // broken");
  expect(await compile("broken.ts", lines)).toEqual([expect.stringMatching(/^broken: .*index/)]);
}, 60_000);

/** The compiler's complaints about a file, each with the turn that it is about. */
async function compile(name: string, lines: readonly string[]): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-types-"));
  try {
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"), "dir");
    await writeFile(join(folder, name), lines.join("\n"));
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      module: "Preserve",
      moduleResolution: "bundler",
      target: "esnext",
      lib: ["esnext", "dom", "dom.iterable"],
      types: [],
    };
    const config = join(folder, "tsconfig.json");
    await writeFile(config, JSON.stringify({ compilerOptions, files: [name] }));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const child = Bun.spawn([process.execPath, tsc, "--project", config, "--pretty", "false"], {
      cwd: folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const output = await new Response(child.stdout).text();
    await child.exited;
    return output.split("\n").flatMap((line, at, all) => {
      const row = new RegExp(`^${name}\\((\\d+),`).exec(line)?.[1];
      if (row === undefined) return [];
      const turn = lines[Number(row) - 1]?.split("// ").at(-1) ?? "";
      const rest = all.slice(at + 1);
      const next = rest.findIndex((other) => !other.startsWith(" "));
      return [`${turn}: ${[line, ...rest.slice(0, next < 0 ? 4 : next)].at(-1)?.trim()}`];
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
