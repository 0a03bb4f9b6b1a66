import { classifyEvent } from "../turn/classify.ts";
import type { Failure } from "../turn/failure.ts";
import type { Millis } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";

/**
 * Says which failure an error event of a turn stands for. It lives as long as the turn's stream and holds nothing else:
 * made where a request is decoded, it would hold the whole request all the while.
 */
export function createClassifier(model: string, nowMs: () => Millis): (event: Dict) => Failure {
  return (event) => classifyEvent(event, model, nowMs());
}
