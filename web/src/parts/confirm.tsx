import { Button, Group, Modal, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';

interface ConfirmProps {
  readonly title: string;
  /** What happens when it is done, before it is. */
  readonly children: ReactNode;
  /** On the button that does it. */
  readonly does: string;
  readonly onConfirm: () => Promise<unknown>;
  readonly trigger: (open: () => void) => ReactNode;
  readonly harmless?: boolean;
}

/** Asks before something is done that cannot be undone. */
export function Confirm({ title, children, does, onConfirm, trigger, harmless = false }: ConfirmProps) {
  const [opened, { open, close }] = useDisclosure();
  return (
    <>
      {trigger(open)}
      <Modal opened={opened} onClose={close} title={title}>
        <Stack>
          <div>{children}</div>
          <Group justify="flex-end">
            <Button variant="default" onClick={close} data-autofocus>
              Keep it as it is
            </Button>
            <Button {...(harmless ? {} : { color: 'red.9' })} onClick={() => onConfirm().then(close, () => undefined)}>
              {does}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
