import { parseGoDuration } from '../../formats/go-duration.js';
import { invalidConfig } from '../config/settings.js';

const DAYS = /(\d+\.?\d*|\.\d+)d/;

/**
 * Milliseconds of an option's value: a duration as Go writes it (`720h`, `1h30m`), and days of 24 hours,
 * which Go has not. Errors: INVALID_CONFIG, also for less than nothing.
 */
export function parseDuration(option: string, text: string): number {
  const milliseconds = parseGoDuration(text.replace(DAYS, (_, days: string) => `${Number(days) * 24}h`));
  if (milliseconds !== undefined && milliseconds >= 0) return milliseconds;
  throw invalidConfig(`${option}: ${JSON.stringify(text)} is not a duration`, {
    hint: 'Write for example 720h, 30d or 1h30m.',
  });
}
