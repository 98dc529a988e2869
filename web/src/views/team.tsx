import type { OpenProject } from "../state/project";
import { AgreementView } from "./team-agreement";
import { Assignments } from "./team-assignments";
import { ProgressOfTeam } from "./team-progress";
import { SecondReviews } from "./team-second";

/** What a lead looks at. */
export function Team({ open, query }: { open: OpenProject; query: URLSearchParams }) {
  const second = query.get("second");
  if (second) return <AgreementView key={second} open={open} review={second} />;
  return (
    <>
      <h1>Team</h1>
      <ProgressOfTeam project={open.name} />
      <Assignments open={open} />
      <SecondReviews open={open} />
    </>
  );
}
