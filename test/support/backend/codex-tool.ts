import { type Dict, dict, list } from "../../../src/wire/json.ts";
import type { ToolCall } from "./outcome.ts";

/** What the command of `codexToolCall` prints. */
export const TOOL_ECHO = "codex-proxy-tool-ok";

const COMMAND = `echo ${TOOL_ECHO}`;

/** Shell tools by name, of the Codex CLI through its ages and of Claude Code, and how each is called. */
const SHELLS: { readonly [name: string]: Omit<ToolCall, "name"> } = {
  exec_command: { arguments: { cmd: COMMAND } },
  shell: { arguments: { command: ["bash", "-lc", COMMAND] } },
  shell_command: { arguments: { command: COMMAND } },
  Bash: { arguments: { command: COMMAND, description: "Print a line" } },
  // Code mode of the lite models: the tool runs JavaScript in which the other tools are functions.
  exec: { arguments: `text(await tools.exec_command({ cmd: "${COMMAND}" }));`, custom: true },
};

/** A call that makes the client of this request run `echo codex-proxy-tool-ok`, or undefined if it offers no shell. */
export function codexToolCall(body: Dict): ToolCall | undefined {
  for (const name of offeredTools(body)) {
    const call = SHELLS[name];
    if (call) return { name, ...call };
  }
  return undefined;
}

/** Names of the tools of a request: top-level ones and, for lite models, those inside `additional_tools` items. */
function offeredTools(body: Dict): readonly string[] {
  const extra = list(body["input"])
    .map(dict)
    .filter((item) => item["type"] === "additional_tools")
    .flatMap((item) => list(item["tools"]));
  return [...list(body["tools"]), ...extra].map(dict).flatMap((tool) => {
    if (tool["type"] === "namespace") return list(tool["tools"]).map((each) => nameOf(dict(each)));
    return [nameOf(tool)];
  });
}

function nameOf(tool: Dict): string {
  const name = tool["name"];
  return typeof name === "string" ? name : "";
}
