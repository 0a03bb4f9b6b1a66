import type { Dict } from "../../wire/json.ts";

/** A tool that Claude knows by its type alone and the client runs: what the model has to be told of it instead. */
export type Published = { readonly description: string; readonly parameters: Dict };

const string = (description: string): Dict => ({ type: "string", description });
const whole = (description: string): Dict => ({ type: "integer", description });
const command = (...words: readonly string[]): Dict => ({
  type: "string",
  enum: words,
  description: "What to do.",
});
const object = (properties: Dict, required: readonly string[]): Dict => ({
  type: "object",
  properties,
  required,
});

const path = string("Absolute path of the file or folder.");
const range: Dict = {
  type: "array",
  items: { type: "integer" },
  description: "For `view` of a file: first and last line, counted from 1; -1 is the end.",
};
const oldText = string("For `str_replace`: the text to replace, which occurs exactly once.");
const newText = string("For `str_replace`: the text to put there; nothing if left out.");
const fileText = string("For `create`: the whole content of the file.");
const insertLine = whole("For `insert`: the line to insert after; 0 is the beginning.");
const inserted = string("For `insert`: the text to insert.");

const BASH: Published = {
  description: "Runs a command in a bash session that keeps its state between calls.",
  parameters: object(
    {
      command: string("The command to run; needed unless `restart` is true."),
      restart: { type: "boolean", description: "Whether to start the session anew instead." },
    },
    [],
  ),
};

const editor = (...commands: readonly string[]): Published => ({
  description: "Views, creates and edits text files.",
  parameters: object(
    {
      command: command(...commands),
      path,
      view_range: range,
      file_text: fileText,
      old_str: oldText,
      new_str: newText,
      insert_line: insertLine,
      insert_text: inserted,
    },
    ["command", "path"],
  ),
});

const EDITOR = editor("view", "create", "str_replace", "insert");
const OLDER_EDITOR = editor("view", "create", "str_replace", "insert", "undo_edit");

const MEMORY: Published = {
  description:
    "Keeps notes in files below /memories that outlast this conversation. Look there before you begin, and write down what will be needed later.",
  parameters: object(
    {
      command: command("view", "create", "str_replace", "insert", "delete", "rename"),
      path: string("Path below /memories; needed but for `rename`."),
      view_range: range,
      file_text: fileText,
      old_str: oldText,
      new_str: newText,
      insert_line: insertLine,
      insert_text: inserted,
      old_path: string("For `rename`: the present path."),
      new_path: string("For `rename`: the new path."),
    },
    ["command"],
  ),
};

/**
 * The tools with a published input schema, by type: bash, the text editors and the memory (Anthropic's tool reference).
 * Computer and browser use are not among them: their input has to do with a screen that only Claude is told about.
 */
export const PUBLISHED: ReadonlyMap<string, Published> = new Map([
  ["bash_20241022", BASH],
  ["bash_20250124", BASH],
  ["text_editor_20241022", OLDER_EDITOR],
  ["text_editor_20250124", OLDER_EDITOR],
  ["text_editor_20250429", EDITOR],
  ["text_editor_20250728", EDITOR],
  ["memory_20250818", MEMORY],
]);
