/** How big a picture is, in pixels. */
export type PictureSize = { readonly width: number; readonly height: number };

/** The size that a PNG, GIF, JPEG or WebP says it has, read from its first bytes; undefined where none is to be found. */
export function pictureSize(bytes: Uint8Array): PictureSize | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 30) return undefined;
  const start = view.getUint32(0);
  if (start === PNG) return { width: view.getUint32(16), height: view.getUint32(20) };
  if (start === GIF) return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
  if (start === RIFF && view.getUint32(8) === WEBP) return webpSize(view);
  return start >>> 16 === JPEG ? jpegSize(view) : undefined;
}

const PNG = 0x89504e47;
const GIF = 0x47494638;
const RIFF = 0x52494646;
const WEBP = 0x57454250;
const JPEG = 0xffd8;

/** WebP has three kinds of frames, each with its size in another form (RFC 9649, 2.5 to 2.7). */
function webpSize(view: DataView): PictureSize | undefined {
  const uint24 = (at: number): number => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  switch (view.getUint32(12)) {
    case 0x56503858: // VP8X
      return { width: uint24(24) + 1, height: uint24(27) + 1 };
    case 0x5650384c: {
      // VP8L
      const packed = view.getUint32(21, true);
      return { width: (packed & 0x3fff) + 1, height: ((packed >> 14) & 0x3fff) + 1 };
    }
    case 0x56503820: // VP8
      return {
        width: view.getUint16(26, true) & 0x3fff,
        height: view.getUint16(28, true) & 0x3fff,
      };
    default:
      return undefined;
  }
}

/** A JPEG's size is in its frame header, behind segments of any length. */
function jpegSize(view: DataView): PictureSize | undefined {
  let at = 2;
  while (at + 9 <= view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    // Frame headers are C0 to CF, but for three that hold tables (ITU-T T.81, table B.1).
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    // A marker may be preceded by filling bytes.
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return undefined;
}

// A picture of which nothing is known is taken for one of this size.
const UNKNOWN_SIZE: PictureSize = { width: 1024, height: 1024 };

/**
 * What a picture costs a model in tokens, by OpenAI's guide to images and by what its API really counts where the two
 * differ: the factor of the small models is 1.2 in measurements of 2026, and 1.62 in the guide. Exact for the models
 * that were measured (GPT-5 mini, 5.2 to 5.5), an estimate for others, and where the size is not known.
 */
export function pictureTokens(
  model: string,
  detail: unknown,
  size: PictureSize = UNKNOWN_SIZE,
): number {
  if (size.width === 0 || size.height === 0) return pictureTokens(model, detail);
  if (TILED.test(model)) return tileTokens(detail, size);
  const factor = /^gpt-5-nano/.test(model) ? 1.5 : 1.2;
  return Math.ceil(countPatches(size, mostPatches(model, detail)) * factor);
}

// GPT-5 and 5.1 but for their small ones look at tiles of 512 pixels, later models at patches of 32.
const TILED = /^gpt-5(?:\.1)?(?:-codex(?:-max)?|-chat.*|-\d{4}.*)?$/;
const TILE = 512;
const PATCH = 32;

function tileTokens(detail: unknown, size: PictureSize): number {
  const [base, perTile] = [70, 140];
  if (detail === "low") return base;
  const { width, height } = size;
  // Scaled down into a square of 2048, then to a shorter side of 768.
  const scale = Math.min(1, 2048 / Math.max(width, height), 768 / Math.min(width, height));
  return base + perTile * Math.ceil((width * scale) / TILE) * Math.ceil((height * scale) / TILE);
}

/** At how many patches of a picture a model looks at the most. */
function mostPatches(model: string, detail: unknown): number {
  const version = Number(/^gpt-(\d+(?:\.\d+)?)/.exec(model)?.[1] ?? 5.4);
  // These make no difference between low and high.
  if (version < 5.4 || /-(?:mini|nano)\b/.test(model)) return 1536;
  if (detail === "low") return 256;
  // Since 5.5 the backend takes pictures as they are, unless it is told otherwise.
  const isOriginal = detail === "original" || (detail !== "high" && version >= 5.5);
  if (!isOriginal) return 2500;
  return version < 6 ? 10_000 : Number.POSITIVE_INFINITY;
}

/** Patches that cover a picture; one that needs too many is scaled down until whole patches fit. */
function countPatches({ width, height }: PictureSize, limit: number): number {
  const across = width / PATCH;
  const down = height / PATCH;
  if (Math.ceil(across) * Math.ceil(down) <= limit) return Math.ceil(across) * Math.ceil(down);
  const scale = Math.sqrt(limit / (across * down));
  const fit = Math.min(
    Math.floor(across * scale) / (across * scale),
    Math.floor(down * scale) / (down * scale),
  );
  // What is meant to be whole may be a trifle above it.
  const whole = (length: number): number => Math.max(1, Math.ceil(length * scale * fit - 1e-9));
  return whole(across) * whole(down);
}
