import type { Config } from "../config/schema.ts";
import { isOpenToAll, localUrl } from "./address.ts";

/** What a person who starts the proxy in a terminal wants to know. */
export type BannerFacts = {
  readonly version: string;
  readonly config: Config;
  /** The port that was taken. */
  readonly port: number;
  /** The configuration file; undefined when there is none. */
  readonly path: string | undefined;
  readonly accounts: { readonly total: number; readonly ready: number };
  /** How the program is called. */
  readonly command: string;
};

/** The lines that greet the person: address, accounts, keys, and what to do next. */
export function bannerOf(facts: BannerFacts): readonly string[] {
  const { version, config, port, path, accounts } = facts;
  const listen = config.listen.replace(/:\d+$/, `:${port}`);
  const url = localUrl({ listen, "tls-cert": config["tls-cert"] }) ?? "";
  const scope = isOpenToAll(config) ? ", and every other address of this machine" : "";
  return [
    "",
    `  codex-proxy ${version}`,
    "",
    `  Address    ${url}${scope}`,
    `             OpenAI clients: ${url}/v1    Claude: ${url}`,
    `  Accounts   ${accountsOf(accounts)}`,
    `  Keys       ${keysOf(config)}`,
    `  Settings   ${path ?? "built-in defaults, there is no config.yaml"}`,
    "",
    `  Next       ${nextOf(facts).join("\n             ")}`,
    "             Ctrl-C stops it.",
    "",
  ];
}

function accountsOf({ total, ready }: BannerFacts["accounts"]): string {
  if (total === 0) return "none yet";
  return ready === total ? `${total}, ready` : `${total}, of which ${ready} can be used now`;
}

function keysOf(config: Config): string {
  const { length } = config["api-keys"];
  if (length > 0) return `${length} ${length === 1 ? "key" : "keys"}: callers must show one`;
  return isOpenToAll(config)
    ? "NONE: ANYONE who reaches this port can use your accounts"
    : "none: every program on this machine can call";
}

function nextOf({ config, accounts, command }: BannerFacts): readonly string[] {
  if (accounts.total === 0) {
    return [
      "in another terminal, log in to ChatGPT:",
      `  ${command} login`,
      "and lead a client here:",
      `  ${command} setup codex --write     (or claude, opencode)`,
    ];
  }
  if (accounts.ready === 0) return [`find out what is wrong: ${command} doctor`];
  const setUp = `lead a client here: ${command} setup codex --write     (or claude, opencode)`;
  return isOpenToAll(config) ? ["set api-keys, or listen on 127.0.0.1", setUp] : [setUp];
}
