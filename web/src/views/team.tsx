import type { OpenProject } from "../state/project";
import { Assignments } from "./team-assignments";
import { ProgressOfTeam } from "./team-progress";

/** What a lead looks at. */
export function Team({ open }: { open: OpenProject }) {
  return (
    <>
      <h1>Team</h1>
      <ProgressOfTeam project={open.name} />
      <Assignments open={open} />
    </>
  );
}
