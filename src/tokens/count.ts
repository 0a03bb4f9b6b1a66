import { type Dict, dict, isDict, list, text } from "../wire/json.ts";
import { pdfTokens, unknownDocumentTokens } from "./document.ts";
import { outlineTools } from "./outline.ts";
import { pictureSize, pictureTokens } from "./picture.ts";
import type { CountText } from "./vocabulary.ts";

/** What counting a request needs. */
export type Counting = {
  readonly countText: CountText;
  /** Lets others have the processor; awaited after each part of a long text. */
  readonly pause: () => Promise<void>;
};

/**
 * How many input tokens the backend will bill for a body of its own form.
 *
 * Exact in the vocabulary, and by recorded usages of GPT-5 and 5.4 in what frames messages, calls and their outputs.
 * Functions are counted in the form in which OpenAI's open models see them; recorded requests with small tools are
 * met within 4 %. Pictures follow OpenAI's rules (see `pictureTokens`). Estimates are: reasoning, of which
 * there is only the ciphertext; PDF by their pages; pictures and files of which there is only an address;
 * tools that the backend runs itself, and items of other kinds, which are counted as the JSON they are.
 */
export async function countTokens(body: Dict, { countText, pause }: Counting): Promise<number> {
  const { texts, tokens } = tally(body);
  let total = tokens;
  let sincePause = 0;
  for (const whole of texts) {
    for (const part of partsOf(whole)) {
      total += countText(part);
      sincePause += part.length;
      if (sincePause < PART - SLACK) continue;
      sincePause = 0;
      await pause();
    }
  }
  return total;
}

// A part takes a few milliseconds, and the worst that can be thought of (random letters) some thirty.
const PART = 32_768;
// How far back from its end a part may find a blank to end before.
const SLACK = 1024;

/** A text in parts that break before a blank, where tokens break too. */
function* partsOf(whole: string): Generator<string> {
  let from = 0;
  while (whole.length - from > PART) {
    const tail = whole.slice(from + PART - SLACK, from + PART);
    const blank = Math.max(tail.lastIndexOf(" "), tail.lastIndexOf("\n"));
    const length = blank < 0 ? PART : PART - SLACK + blank;
    yield whole.slice(from, from + length);
    from += length;
  }
  yield whole.slice(from);
}

/** What is to be counted: texts, and tokens that are known without counting. */
type Tally = { readonly texts: readonly string[]; readonly tokens: number };

type Scene = {
  readonly model: string;
  readonly add: (text: unknown) => void;
  readonly addTokens: (tokens: number) => void;
};

// The beginning of the answer: <|start|>assistant.
const ANSWER = 2;
// <|start|>role<|message|> ... <|end|>
const MESSAGE = 4;
// <|start|>assistant to=functions.<|channel|>commentary json<|message|> ... <|call|>
const CALL = 9;
// <|start|>functions. to=assistant<|channel|>commentary<|message|> ... <|end|>
const OUTPUT = 8;
// <|start|>assistant<|channel|>analysis<|message|> ... <|end|>
const THOUGHT = 6;
// The message that introduces functions; a free-form tool's instructions; those of its grammar. From recorded usages.
const FUNCTIONS = 9;
const FREE_FORM = 13;
const GRAMMAR = 30;
// The message that introduces a wanted form of the answer.
const FORMAT = 9;

function tally(body: Dict): Tally {
  const texts: string[] = [];
  let tokens = ANSWER;
  const scene: Scene = {
    model: text(body["model"]) ?? "",
    add: (added) => {
      if (typeof added === "string" && added !== "") texts.push(added);
    },
    addTokens: (added) => {
      tokens += added;
    },
  };
  if (text(body["instructions"]) !== undefined) {
    scene.addTokens(MESSAGE);
    scene.add(body["instructions"]);
  }
  tallyTools(list(body["tools"]).filter(isDict), scene);
  tallyFormat(dict(dict(body["text"])["format"]), scene);
  tallyItems(body, scene);
  return { texts, tokens };
}

function tallyTools(tools: readonly Dict[], { add, addTokens }: Scene): void {
  // A namespace is a list of tools under one name. Tools that wait to be found are not shown to the model.
  const all = tools
    .flatMap((tool) => (tool["type"] === "namespace" ? list(tool["tools"]).filter(isDict) : [tool]))
    .filter((tool) => tool["defer_loading"] !== true);
  const ours = all.filter(({ type }) => type === "function" || type === "custom");
  if (ours.length > 0) addTokens(FUNCTIONS);
  add(outlineTools(ours));
  for (const tool of all) {
    if (tool["type"] === "function") continue;
    if (tool["type"] !== "custom") {
      add(JSON.stringify(tool));
      continue;
    }
    const { definition } = dict(tool["format"]);
    addTokens(definition === undefined ? FREE_FORM : FREE_FORM + GRAMMAR);
    add(definition);
  }
}

function tallyFormat({ type, name, description, schema }: Dict, { add, addTokens }: Scene): void {
  if (type !== "json_schema") return;
  addTokens(FORMAT);
  add(name);
  add(description);
  add(JSON.stringify(schema));
}

function tallyItems(body: Dict, scene: Scene): void {
  const { add, addTokens } = scene;
  const items = list(body["input"]).filter(isDict);
  const calls = items.filter((item) => "name" in item);
  const names = new Map(calls.map((item) => [item["call_id"], item["name"]]));
  const lastAsked = items.findLastIndex(({ role }) => role === "user");
  // What was thought before the last question is left out, unless the client wants it to be kept.
  const thoughtFrom = dict(body["reasoning"])["context"] === "all_turns" ? -1 : lastAsked;
  for (const [at, item] of items.entries()) {
    switch (item["type"] ?? "message") {
      case "message":
        addTokens(MESSAGE);
        tallyContent(item["content"], scene);
        break;
      case "function_call":
      case "custom_tool_call":
        addTokens(CALL);
        for (const field of ["name", "arguments", "input"]) add(item[field]);
        break;
      case "function_call_output":
      case "custom_tool_call_output":
        addTokens(OUTPUT);
        add(names.get(item["call_id"]));
        tallyContent(item["output"], scene);
        break;
      case "reasoning":
        if (at > thoughtFrom) addTokens(THOUGHT + hiddenTokens(item["encrypted_content"]));
        break;
      case "compaction":
        addTokens(hiddenTokens(item["encrypted_content"]));
        break;
      default:
        tallyOther(item, scene);
    }
  }
}

/** Items that the backend made itself, such as searches; the picture among them is counted as one. */
function tallyOther(item: Dict, scene: Scene): void {
  const { encrypted_content: hidden, result, ...rest } = item;
  scene.addTokens(hiddenTokens(hidden));
  if (typeof result === "string") scene.addTokens(pictureOf(result, undefined, scene.model));
  scene.add(JSON.stringify(rest));
}

function tallyContent(content: unknown, scene: Scene): void {
  if (typeof content === "string") scene.add(content);
  for (const part of list(content).filter(isDict)) {
    switch (part["type"]) {
      case "input_image":
        scene.addTokens(pictureOf(part["image_url"], part["detail"], scene.model));
        break;
      case "input_file":
        tallyFile(part, scene);
        break;
      default:
        scene.add(part["text"]);
        scene.add(part["refusal"]);
    }
  }
}

// Behind these many characters of Base64, the size of a picture is found as good as always.
const PICTURE_HEAD = 131_072;

function pictureOf(source: unknown, detail: unknown, model: string): number {
  const { data } = splitData(source);
  const head = data === undefined ? undefined : bytesOf(data.slice(0, PICTURE_HEAD));
  return pictureTokens(model, detail, head === undefined ? undefined : pictureSize(head));
}

function tallyFile(part: Dict, scene: Scene): void {
  scene.add(part["filename"]);
  const { mime, data } = splitData(part["file_data"]);
  const file = data === undefined ? undefined : binaryOf(data);
  if (file !== undefined && /^text\/|[/+]json$/.test(mime)) scene.add(file);
  else if (file?.startsWith("%PDF")) scene.addTokens(pdfTokens(file));
  else scene.addTokens(unknownDocumentTokens());
}

type Data = { readonly mime: string; readonly data: string | undefined };

/** A data URL, or bare Base64, in its parts; no data where it is an address. */
function splitData(source: unknown): Data {
  if (typeof source !== "string" || /^https?:/.test(source)) return { mime: "", data: undefined };
  if (!source.startsWith("data:")) return { mime: "", data: source };
  const comma = source.indexOf(",");
  return { mime: /^data:([^;,]*)/.exec(source)?.[1] ?? "", data: source.slice(comma + 1) };
}

/** What Base64 stands for, one character per byte; undefined where it is none. */
function binaryOf(base64: string): string | undefined {
  const dense = /\s/.test(base64) ? base64.replace(/\s+/g, "") : base64;
  try {
    return atob(dense.slice(0, dense.length - (dense.length % 4)));
  } catch {
    return undefined;
  }
}

function bytesOf(base64: string): Uint8Array | undefined {
  const binary = binaryOf(base64);
  return binary === undefined ? undefined : Uint8Array.from(binary, (byte) => byte.charCodeAt(0));
}

// An envelope of this many bytes, then 4.75 bytes for each token: measured on recorded requests with reasoning of 29 to
// 768 tokens. The Codex CLI takes off the same envelope.
const ENVELOPE_BYTES = 650;
const HIDDEN_BYTES_PER_TOKEN = 4.75;

/** About how many tokens a ciphertext of the backend's holds. */
function hiddenTokens(ciphertext: unknown): number {
  if (typeof ciphertext !== "string") return 0;
  const bytes = (ciphertext.length * 3) / 4 - ENVELOPE_BYTES;
  return Math.max(0, Math.round(bytes / HIDDEN_BYTES_PER_TOKEN));
}
