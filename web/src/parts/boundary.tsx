import { Alert, Button, Stack, Text } from '@mantine/core';
import { Component, type ReactNode } from 'react';

interface BoundaryProps {
  /** Another one is another try. */
  readonly at: string;
  readonly children: ReactNode;
}

/**
 * What is shown in place of a page that cannot be: because its part could not be loaded, as when the service is away or was
 * replaced by a newer one, or because of a mistake of ours. The rest stays.
 */
export class Boundary extends Component<BoundaryProps, { readonly failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidUpdate(before: BoundaryProps): void {
    if (this.state.failed && before.at !== this.props.at) this.setState({ failed: false });
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Alert color="red" variant="outline" role="alert" title="This page could not be loaded">
        <Stack gap="xs" align="flex-start">
          <Text size="sm">Lockgate does not answer, or a newer version of it has taken its place.</Text>
          <Button size="compact-sm" variant="default" onClick={() => window.location.reload()}>
            Try again
          </Button>
        </Stack>
      </Alert>
    );
  }
}
