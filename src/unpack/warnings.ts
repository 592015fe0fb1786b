/** Things that people should know but that stop nothing. Each kind is said once, about the first that had it. */
export class Warnings {
  readonly #messages = new Map<string, string>();

  once(kind: string, message: string): void {
    if (!this.#messages.has(kind)) this.#messages.set(kind, message);
  }

  list(): string[] {
    return [...this.#messages.values()];
  }
}
