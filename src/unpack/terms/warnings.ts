/** Of so many kinds at most: a layer may find ever new ones, and nobody reads them all. */
const MOST = 100;

/** Takes what people should know, as {@link Warnings} does. */
export type WarningSink = Pick<Warnings, 'add'>;

/** Things that people should know but that stop nothing. Each kind is said once, about the first that had it. */
export class Warnings {
  readonly #messages = new Map<string, string>();

  once(kind: string, message: string): void {
    if (this.#messages.has(kind)) return;
    if (this.#messages.size < MOST) this.#messages.set(kind, message);
    else this.#messages.set('', 'there is more to warn of in this layer than is told here');
  }

  /** Says what is the same for all that it is about. */
  add(message: string): void {
    this.once(message, message);
  }

  list(): string[] {
    return [...this.#messages.values()];
  }
}
