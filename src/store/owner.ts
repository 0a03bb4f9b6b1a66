import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { sha256 } from "../wire/digest.ts";
import { codeOf } from "./durable.ts";

/** A process, in terms that another one can check. */
export type Owner = {
  /**
   * Where process numbers mean the same: a hash of the machine's name, its boot and the namespace of its process
   * numbers, so that two containers are two places.
   */
  readonly place: string;
  readonly pid: number;
  /** When it began, in the platform's own terms; "" where it does not tell. */
  readonly start: string;
};

/** Whether a process runs: "unknown" where it cannot be told for certain from one that got its number. */
export type Life = "alive" | "dead" | "unknown";

let known: Promise<Owner> | undefined;

/** This process. */
export function ourselves(): Promise<Owner> {
  known ??= find();
  return known;
}

/** Whether the process that wrote its name down still runs. */
export async function lifeOf(owner: Owner): Promise<Life> {
  const { place } = await ourselves();
  if (owner.place !== place) return "unknown";
  const start = await startOf(owner.pid);
  if (start === "gone") return "dead";
  if (start !== "") return owner.start === "" || owner.start === start ? "alive" : "dead";
  return isThere(owner.pid) ? "unknown" : "dead";
}

async function find(): Promise<Owner> {
  const { pid } = process;
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  const namespace = await readlink("/proc/self/ns/pid").catch(() => "");
  const start = await startOf(pid);
  return {
    place: sha256([hostname(), boot.trim(), namespace].join("\n")).slice(0, 16),
    pid,
    start: start === "gone" ? "" : start,
  };
}

/** When a process began; "gone" when it has ended, "" where the platform does not tell. */
async function startOf(pid: number): Promise<string> {
  if (process.platform !== "linux") return "";
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // proc(5): the name, in brackets, may hold anything; after it come the state (3), the threads (20), the start (22).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = "", threads, start = ""] = [fields[0], fields[17], fields[19]];
    // A killed process may still have a thread inside a last call to the file system.
    const isOver = (state === "Z" || state === "X") && Number(threads) <= 1;
    return isOver ? "gone" : start;
  } catch (cause) {
    const isGone = codeOf(cause) === "ENOENT" || codeOf(cause) === "ESRCH";
    return isGone && !isThere(pid) ? "gone" : "";
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return codeOf(cause) !== "ESRCH";
  }
}
