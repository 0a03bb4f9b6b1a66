// The processes that a run has started: each is ended with it, and one that ends by itself is told.

/** A process, and what it is called when something is wrong with it. */
export type Member = {
  readonly child: Bun.Subprocess;
  readonly name: string;
  /** Where it writes what it has to say. */
  readonly log?: string;
};

/** All processes that run. */
export type Roster = {
  readonly enlist: (member: Member) => void;
  readonly end: (pid: number) => Promise<void>;
  readonly endAll: () => Promise<void>;
  /** Those that ended by themselves, as sentences. */
  readonly wrecks: () => readonly string[];
};

/** A roster without members. */
export function createRoster(): Roster {
  const members = new Map<number, Member>();
  const leaving = new Set<number>();
  const wrecks: string[] = [];
  const end = async (pid: number): Promise<void> => {
    const member = members.get(pid);
    if (member === undefined) return;
    leaving.add(pid);
    member.child.kill("SIGKILL");
    await member.child.exited;
  };
  return {
    enlist: (member) => {
      const { child, name, log } = member;
      members.set(child.pid, member);
      const onExit = async (code: number): Promise<void> => {
        members.delete(child.pid);
        if (leaving.has(child.pid) || code === 0) return;
        wrecks.push(`${name} has ended with ${code}${log === undefined ? "" : await tailOf(log)}`);
      };
      child.exited.then(onExit).catch(() => {});
    },
    end,
    endAll: async () => {
      await Promise.all([...members.keys()].map(end));
    },
    wrecks: () => wrecks,
  };
}

const TAIL_LINES = 5;

/** The end of a log, to be added to a sentence. */
export async function tailOf(log: string): Promise<string> {
  const lines = (await Bun.file(log).text()).trim().split("\n").slice(-TAIL_LINES);
  return `; its log ends with:\n${lines.join("\n")}`;
}
