// What the builder of a target hands over: the files that go into its zip besides the papers.

/** One file of a zip. */
export type ArtefactFile = {
  readonly bytes: Uint8Array;
  /** Unix permissions, such as 0o755. */
  readonly mode: number;
};

/** The files of one target, by their paths inside the zip with `/` between folders. */
export type Artefact = ReadonlyMap<string, ArtefactFile>;
