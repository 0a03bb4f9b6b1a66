// What is known of an artefact of a release after it has been tried.

/** How one target's zip was proved, and what was measured on the way. */
export type Proof = {
  readonly target: string;
  readonly how: "native" | "qemu-user" | "wine" | "chroot" | "structure only";
  readonly startMs: number | undefined;
  readonly idleRssBytes: number | undefined;
  readonly notes: readonly string[];
};
