import { afterAll } from "bun:test";
import { removeFolders } from "./store/folder.ts";

// Preloaded (bunfig.toml): a hook in a module of their own would count for the first file alone that imports it.
afterAll(removeFolders);
