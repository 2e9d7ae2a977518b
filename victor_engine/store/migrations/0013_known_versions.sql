-- What has to be known of every version to tell which one is current, without reading its text and content.
CREATE INDEX definitions_known ON definitions (workflow, version, deprecated, removed);
