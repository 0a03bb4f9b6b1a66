import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { State } from "./shape.ts";
import { dismiss, distance, format, session, t, toasts } from "./state.tsx";

/** A moment by its distance; the moment itself is in the title. */
export function When({ atMs, none }: { atMs: number | undefined; none?: string }) {
  if (atMs === undefined) return <span class="quiet">{none ?? t("never")}</span>;
  return (
    <time dateTime={new Date(atMs).toISOString()} title={format().moment(atMs)}>
      {distance(atMs)}
    </time>
  );
}

/** How an account stands, as a coloured dot and a word. */
export function StateBadge({ state }: { state: State | undefined }) {
  return (
    <span class={`badge ${state ?? "unknown"}`}>
      {state === undefined ? t("unknown") : t(state)}
    </span>
  );
}

/** A cell of a table that becomes a line with a label on a phone. */
export function Cell({
  label,
  children,
  kind = "",
}: {
  label: string;
  children: ComponentChildren;
  kind?: string;
}) {
  return (
    <td data-label={label} class={kind}>
      <div>{children}</div>
    </td>
  );
}

/** One fact of a list of facts; nothing where there is nothing to say. */
export function Fact({ name, children }: { name: string; children?: ComponentChildren }) {
  if (children === undefined || children === null || children === false) return null;
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A dialog over the page. It is there as long as it is rendered; Escape and the close button ask to end it. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    dialog?.showModal();
    return () => {
      // As long as it is open nothing else can have the focus. Whoever opened it may be gone by now.
      dialog?.close();
      const heir = opener?.isConnected === true ? opener : document.getElementById("content");
      if (heir instanceof HTMLElement) heir.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header class="dialog-head">
        <h2 id="dialog-title">{title}</h2>
        <button type="button" class="icon" aria-label={t("close")} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** A question before something that cannot be taken back. */
export function Confirm({
  title,
  words,
  action,
  isDanger = false,
  onYes,
  onNo,
}: {
  title: string;
  words: string;
  action: string;
  isDanger?: boolean;
  onYes: () => void;
  onNo: () => void;
}) {
  return (
    <Dialog title={title} onClose={onNo}>
      <p>{words}</p>
      <div class="row end">
        <button type="button" onClick={onNo}>
          {t("cancel")}
        </button>
        <button type="button" class={isDanger ? "danger" : "primary"} onClick={onYes}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}

const PATHS = {
  close: "M6 6l12 12M18 6L6 18",
  down: "M6 9l6 6 6-6",
  left: "M15 6l-6 6 6 6",
  right: "M9 6l6 6-6 6",
  plus: "M12 5v14M5 12h14",
} as const;

/** The last cell of a row: opens what there is to say of it, in a row below with the id `details`. */
export function Opener(props: {
  isOpen: boolean;
  details: string;
  label: string;
  onToggle: () => void;
}) {
  const { isOpen, details, label, onToggle } = props;
  return (
    <td class="opener">
      <button
        type="button"
        class="icon"
        aria-expanded={isOpen}
        aria-controls={isOpen ? details : undefined}
        aria-label={label}
        onClick={onToggle}
      >
        <Icon name="down" />
      </button>
    </td>
  );
}

/** A small picture beside or instead of words; whoever uses it says in words what it is for. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" class="glyph">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** What has just happened, and that the proxy does not answer: read out as well. */
export function Announcements() {
  return (
    <>
      <div role="status" class="banner-place">
        {session.isOffline.value && <p class="banner">{t("offline")}</p>}
      </div>
      <div role="log" aria-label={t("message")} class="toasts">
        {toasts.value.map(({ id, isGood, words }) => (
          <p key={id} class={isGood ? "toast" : "toast bad"}>
            <span>{words}</span>
            <button type="button" class="icon" aria-label={t("close")} onClick={() => dismiss(id)}>
              <Icon name="close" />
            </button>
          </p>
        ))}
      </div>
    </>
  );
}

/**
 * Does something now, when the proxy comes back, and every so often while the page is looked at. `task` is told when
 * nobody wants its result any more; what it depends on is in `reasons`.
 */
export function usePolling(
  task: (signal: AbortSignal) => Promise<unknown>,
  everyMs: number,
  reasons: readonly unknown[],
): void {
  const round = session.round.value;
  const isOffline = session.isOffline.value;
  // `task` is another one at each rendering; `reasons` says when it matters.
  useEffect(() => {
    if (isOffline) return;
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async (): Promise<void> => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") await task(leaving.signal);
      if (!leaving.signal.aborted) timer = setTimeout(() => void run(), everyMs);
    };
    const look = (): void => {
      if (document.visibilityState === "visible") void run();
    };
    document.addEventListener("visibilitychange", look);
    void run();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [round, isOffline, ...reasons]);
}

/** The rows of a table while they are read for the first time: the page keeps its height. */
export function Placeholder({ words }: { words: string }): JSX.Element {
  return <p class="placeholder">{words}</p>;
}
