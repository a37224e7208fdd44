import {
  Button,
  Collapse,
  FileButton,
  Group,
  NativeSelect,
  PasswordInput,
  Stack,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type ClipboardEvent, type DragEvent, useState } from 'react';
import { type Field, fieldsOf, kindsOf, type Schema, type Values, valuesIn } from './fields.ts';

const KINDS: Readonly<Record<string, string>> = {
  service_account: 'Service account key',
  external_account: 'Workload identity federation',
  ambient: 'Identity of the machine',
};

interface CredentialFieldsProps {
  readonly type: string;
  readonly schema: Schema;
  readonly kind: string;
  readonly values: Values;
  readonly onChange: (kind: string, values: Values) => void;
}

/** The form of a credential, made from its schema. What is secret is never shown again, here or anywhere. */
export function CredentialFields({ type, schema, kind, values, onChange }: CredentialFieldsProps) {
  const [opened, { toggle }] = useDisclosure();
  const fields = fieldsOf(type, schema, kind);
  const kinds = kindsOf(schema);
  const input = (field: Field) => (
    <OneField
      key={field.name}
      field={field}
      value={values[field.name] ?? ''}
      onChange={(value) => onChange(kind, { ...values, [field.name]: value })}
    />
  );
  const take = (text: string) => {
    const found = valuesIn(text);
    if (!found) return false;
    onChange(found.kind && kinds.includes(found.kind) ? found.kind : kind, { ...values, ...found.values });
    return true;
  };
  return (
    <Stack gap="sm">
      <Drop onText={take} />
      {kinds.length > 1 && (
        <NativeSelect
          label="Kind of credential"
          value={kind}
          onChange={(event) => onChange(event.currentTarget.value, {})}
          data={kinds.map((value) => ({ value, label: KINDS[value] ?? value }))}
        />
      )}
      {fields.filter(({ more }) => !more).map(input)}
      {fields.some(({ more }) => more) && (
        <>
          <Group>
            <Button variant="subtle" size="compact-sm" onClick={toggle} aria-expanded={opened}>
              {opened ? 'Fewer fields' : 'More fields'}
            </Button>
          </Group>
          <Collapse expanded={opened}>
            <Stack gap="sm">{fields.filter(({ more }) => more).map(input)}</Stack>
          </Collapse>
        </>
      )}
    </Stack>
  );
}

/** Where a JSON is pasted or dropped, such as a key file of Google's. */
function Drop({ onText }: { onText: (text: string) => boolean }) {
  const [over, setOver] = useState(false);
  const [said, setSaid] = useState<string | null>(null);
  const take = async (text: Promise<string> | string) => {
    setSaid(onText(await text) ? 'Taken over into the fields below.' : 'This is no JSON object. Paste the whole file.');
  };
  const events = {
    onDragOver: (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: () => setOver(false),
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      const [file] = event.dataTransfer.files;
      if (file) void take(file.text());
    },
  };
  return (
    <div className="drop" {...(over ? { 'data-over': true } : {})} {...events}>
      <Stack gap="xs">
        <Group justify="space-between">
          <Text size="sm">Drop a JSON file here, paste it below, or fill in the fields.</Text>
          <FileButton accept="application/json,.json" onChange={(file) => file && void take(file.text())}>
            {(props) => (
              <Button {...props} size="compact-sm" variant="default">
                Choose a file
              </Button>
            )}
          </FileButton>
        </Group>
        <Textarea
          aria-label="Paste the credential as JSON"
          placeholder="{ … }"
          rows={2}
          value=""
          autoComplete="off"
          spellCheck={false}
          onChange={() => undefined}
          onPaste={(event: ClipboardEvent) => {
            event.preventDefault();
            void take(event.clipboardData.getData('text'));
          }}
        />
        {said && (
          <Text size="sm" role="status">
            {said}
          </Text>
        )}
      </Stack>
    </div>
  );
}

function OneField({ field, value, onChange }: { field: Field; value: string; onChange: (value: string) => void }) {
  const { name, description, required, writeOnly, type } = field;
  const common = {
    label: labelOf(name),
    // Code in a description is only text here.
    description: description?.replaceAll('`', ''),
    value,
    withAsterisk: required,
    autoComplete: 'off',
    spellCheck: false,
  };
  if (field.enum || type === 'boolean') {
    const choices = field.enum ?? ['true', 'false'];
    return (
      <NativeSelect {...common} data={['', ...choices]} onChange={(event) => onChange(event.currentTarget.value)} />
    );
  }
  // Of several lines: a key in PEM has them.
  if (type === 'object' || /private_key$|certificate$/.test(name)) {
    return <Textarea {...common} rows={3} onChange={(event) => onChange(event.currentTarget.value)} />;
  }
  const Input = writeOnly ? PasswordInput : TextInput;
  return <Input {...common} onChange={(event) => onChange(event.currentTarget.value)} />;
}

const WORDS: Readonly<Record<string, string>> = {
  id: 'ID',
  sas: 'SAS',
  arn: 'ARN',
  sts: 'STS',
  sse: 'SSE',
  uri: 'URI',
  url: 'URL',
  iam: 'IAM',
};

function labelOf(name: string): string {
  const words = name.split('_').map((word) => WORDS[word] ?? word);
  const [first = '', ...rest] = words;
  return [first.charAt(0).toUpperCase() + first.slice(1), ...rest].join(' ');
}
