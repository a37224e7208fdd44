import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

/** The water behind the gate. */
const water: MantineColorsTuple = [
  '#e3f6fa',
  '#c9e9f0',
  '#97d1de',
  '#60b8cb',
  '#36a3bb',
  '#1b95b0',
  '#0b7f99',
  '#006a81',
  '#005669',
  '#004354',
];

export const theme = createTheme({
  colors: { water },
  primaryColor: 'water',
  primaryShade: { light: 7, dark: 6 },
  defaultRadius: 'md',
  cursorType: 'pointer',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  headings: { fontWeight: '650' },
  respectReducedMotion: true,
  components: {
    // A link in a text is told apart by more than its colour.
    Anchor: { defaultProps: { underline: 'always' } },
    NavLink: { styles: { root: { borderRadius: 'var(--mantine-radius-md)' } } },
    // The frame has the colour; words are there to be read.
    Alert: { styles: { title: { color: 'var(--mantine-color-text)' } } },
    Modal: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    Drawer: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    Title: { styles: { root: { letterSpacing: '-0.01em' } } },
  },
});

/** Text that is less important can still be read: the library's own grey has too little contrast. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#4f5860',
    '--mantine-color-error': '#c01f1f',
    '--mantine-color-placeholder': '#5f6973',
  },
  dark: {
    '--mantine-color-dimmed': '#b3b9c0',
    '--mantine-color-error': '#ff8f8f',
    '--mantine-color-placeholder': '#a0a7ae',
  },
});
