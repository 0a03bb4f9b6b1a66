import { type Counting, countTokens } from "../tokens/count.ts";
import { loadVocabulary } from "../tokens/vocabulary.ts";
import type { LocalRoute, Protocol } from "./protocol.ts";

/**
 * Anthropic's `count_tokens` for a protocol: its requests are read as ever, and counted in the form in which the backend
 * would get and bill them, instead of being sent.
 */
export function createTokenCount(protocol: Protocol, pause: Counting["pause"]): LocalRoute {
  return {
    name: "count_tokens",
    path: `${protocol.path}/count_tokens`,
    fail: protocol.fail,
    ...(protocol.idHeader === undefined ? {} : { idHeader: protocol.idHeader }),
    answer: async (call) => {
      const decoded = protocol.decode(call);
      if (!decoded.ok) return decoded;
      const countText = await loadVocabulary();
      const { body } = decoded.exchange.turn;
      return { ok: true, body: { input_tokens: await countTokens(body, { countText, pause }) } };
    },
  };
}
