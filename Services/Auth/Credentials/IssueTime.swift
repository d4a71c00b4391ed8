import Contracts
import Foundation
import ServiceKit

extension Revocations {
    /// Longer than any second lasts, and than clocks differ.
    private static let longestWait: TimeInterval = 2

    /// When a token of the person may be signed: now; but in the second of an ending only when that second is over, since tokens of
    /// the same second count as older. It waits rather than sign for the future: an ending that comes after the token must not find
    /// it dated later than itself.
    func issueTime(user: UserID?, tenant: TenantID, now: Date) async throws -> Date {
        guard let earliest = earliestIssue(user: user, tenant: tenant), earliest > now else { return now }
        try await Task.sleep(for: .seconds(min(earliest.timeIntervalSince(now), Self.longestWait)))
        return earliest
    }
}
