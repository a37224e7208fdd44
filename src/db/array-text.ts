/** A text that stands for itself between the quotes of an array. */
const PLAIN = /^[^"\\]*$/;

/**
 * PostgreSQL's text of an array of texts, times, numbers and truth values, with null for what has none; null: it has something else in it.
 * The driver's own looks at every element twice and puts it behind all those before.
 */
export function arrayText(values: readonly unknown[]): string | null {
  const parts: string[] = new Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value === 'string') {
      parts[i] = `"${PLAIN.test(value) ? value : value.replace(/["\\]/g, '\\$&')}"`;
    } else if (value === null) parts[i] = 'NULL';
    else if (value instanceof Date && hasUsualYear(value)) parts[i] = `"${value.toISOString()}"`;
    else if (typeof value === 'number' || typeof value === 'boolean') parts[i] = String(value);
    else return null;
  }
  return `{${parts.join(',')}}`;
}

/** Of four digits: others PostgreSQL writes in another way than the language does. */
function hasUsualYear(date: Date): boolean {
  const year = date.getUTCFullYear();
  return year >= 1 && year <= 9999;
}
