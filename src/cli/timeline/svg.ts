import { formatDuration, printable } from '../format/text.js';

type Attributes = Readonly<Record<string, string | number | undefined>>;

/**
 * An element around others, or around text that {@link escapeXml} made harmless. Numbers have two decimals at
 * most.
 */
export function element(name: string, attributes: Attributes, ...content: readonly string[]): string {
  const written = Object.entries(attributes)
    .flatMap(([key, value]) => (value === undefined ? [] : [` ${key}="${attributeText(value)}"`]))
    .join('');
  return content.length === 0 ? `<${name}${written}/>` : `<${name}${written}>${content.join('')}</${name}>`;
}

/** Text of foreign origin as text of a document: no markup, and nothing that XML forbids. */
export function escapeXml(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/[\uFFFE\uFFFF]/g, '\uFFFD');
}

/** The text that is shown where a pointer rests on an element. */
export function tooltip(text: string): string {
  return element('title', {}, escapeXml(text));
}

export function textAt(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(text));
}

function attributeText(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 100) / 100) : escapeXml(value);
}

/** Where moments are on a picture that is so wide. */
export interface TimeAxis {
  /** Milliseconds at its right end. */
  readonly end: number;
  readonly left: number;
  readonly width: number;
  /** The place of a moment, never outside. */
  readonly at: (moment: number) => number;
  /** Moments that a reader can count by. */
  readonly ticks: readonly Tick[];
}

export interface Tick {
  readonly at: number;
  readonly label: string;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Distances between ticks, in milliseconds: what people count in. */
const STEPS: readonly number[] = [
  ...[0.001, 0.01, 0.1, 1, 10, 100].flatMap((unit) => [unit, 2 * unit, 5 * unit]),
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100].map((days) => days * DAY),
];

/** Room for a label, so that no two touch. */
const LABEL_WIDTH = 74;

export function timeAxis(end: number, { left, width }: { left: number; width: number }): TimeAxis {
  const most = Math.max(1, Math.floor(width / LABEL_WIDTH));
  const step = STEPS.find((each) => end / each <= most) ?? end;
  const count = end > 0 ? Math.floor(end / step + 1e-9) : 0;
  return {
    end,
    left,
    width,
    at: (moment) => left + (end > 0 ? Math.min(1, Math.max(0, moment / end)) : 0) * width,
    ticks: Array.from({ length: count + 1 }, (_, n) => ({ at: n * step, label: tickLabel(n * step, step) })),
  };
}

/**
 * All in the unit of the distance between ticks, so that they can be compared: `200 ms`, `1.5 s`, `1:30 min`.
 */
function tickLabel(at: number, step: number): string {
  if (at === 0) return '0';
  if (step < 0.1) return `${trimmed(at * 1000, 3)} µs`;
  if (at < SECOND && step < 100) return `${trimmed(at, 3)} ms`;
  if (step < SECOND && at < MINUTE) return `${trimmed(at / SECOND, 3)} s`;
  if (at < MINUTE) return `${trimmed(at / SECOND, 3)} s`;
  if (at < HOUR) return `${clock(at, MINUTE, SECOND)} min`;
  if (at < DAY) return `${clock(at, HOUR, MINUTE)} h`;
  return `${trimmed(at / DAY, 1)} d`;
}

function clock(at: number, large: number, small: number): string {
  const rest = Math.round((at % large) / small);
  const whole = Math.floor(at / large);
  return rest === 0 ? `${whole}` : `${whole}:${String(rest).padStart(2, '0')}`;
}

function trimmed(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals)));
}

/** The lettering of text, in pixels. */
export interface Lettering {
  readonly size: number;
  readonly bold?: boolean;
}

const NARROW = /[ijl.,:;'!|/\\()[\]\-ftrI ]/;
const CAPITAL = /[A-Z&~+=<>]/;
const WIDE = /[mwMW@%…—]|[^\x20-\x7e]/u;

/**
 * About how wide text is, rather more than less: which letters a reader's machine has is not known, and those
 * of DejaVu are among the widest.
 */
export function textWidth(text: string, { size, bold = false }: Lettering): number {
  const ems = Array.from(text).reduce((sum, letter) => sum + emsOf(letter), 0);
  return ems * size * (bold ? 1.12 : 1);
}

function emsOf(letter: string): number {
  if (NARROW.test(letter)) return 0.44;
  if (WIDE.test(letter)) return 1.05;
  return CAPITAL.test(letter) ? 0.84 : 0.64;
}

/** Text that fits so many pixels; what is too much is left out at its end, and three dots say so. */
export function fitTextEnd(text: string, width: number, lettering: Lettering): string {
  if (textWidth(text, lettering) <= width) return text;
  const letters = Array.from(text);
  return `${letters.slice(0, roomFor(letters, width, lettering)).join('')}…`;
}

/** The same at its beginning: the end of an image's name tells more than its registry. */
export function fitTextStart(text: string, width: number, lettering: Lettering): string {
  if (textWidth(text, lettering) <= width) return text;
  const letters = Array.from(text);
  return `…${letters.slice(letters.length - roomFor(letters.toReversed(), width, lettering)).join('')}`;
}

/** The number of first letters that fit beside the dots. */
function roomFor(letters: readonly string[], width: number, lettering: Lettering): number {
  let left = width - textWidth('…', lettering);
  const first = letters.findIndex((letter) => (left -= textWidth(letter, lettering)) < 0);
  return first < 0 ? letters.length : first;
}

/** A span for people, also a very short one: `0.24 ms`, `3.8 ms`, `85 ms`, `3.2 s`. */
export function formatSpan(milliseconds: number): string {
  if (milliseconds >= 9.95 || milliseconds <= 0) return formatDuration(milliseconds);
  return `${milliseconds.toFixed(milliseconds < 0.995 ? 2 : 1)} ms`;
}
