import Contracts
import Foundation
import HTTPTypes
import ServiceKit
import Synchronization

/// Which organization a slug names, and whether it is open: asked of users, remembered for a while.
final class TenantDirectory: Sendable {
    static let maximumEntries = 10_000
    /// Seconds for which an answer is remembered: "active", and "there is none" or "suspended".
    static let lifetime: TimeInterval = 15
    static let refusalLifetime: TimeInterval = 3

    private struct Entry {
        let organization: OrganizationReference?
        let expires: Date
    }

    private let neighbours: Neighbours
    private let now: @Sendable () -> Date
    private let entries = Mutex<[String: Entry]>([:])

    init(neighbours: Neighbours, now: @escaping @Sendable () -> Date) {
        self.neighbours = neighbours
        self.now = now
    }

    /// What was answered a short while ago; nil where users must be asked.
    func known(slug text: String) -> OrganizationReference?? {
        guard let slug = Slug(rawValue: text.lowercased()) else { return .some(nil) }
        let now = now()
        guard let entry = entries.withLock({ $0[slug.rawValue] }), entry.expires > now else { return nil }
        return .some(entry.organization)
    }

    /// Nil when there is no such organization. Throws `DependencyFailure` when users cannot be asked.
    func organization(slug text: String) async throws -> OrganizationReference? {
        guard let slug = Slug(rawValue: text.lowercased()) else { return nil }
        let now = now()
        if let known = entries.withLock({ $0[slug.rawValue] }), known.expires > now { return known.organization }
        var found: OrganizationReference?
        do {
            found = try await neighbours.call(
                .get, .users, "/internal/v1/organizations/by-slug/\(slug)", as: OrganizationReference.self)
        } catch let refusal as RemoteFailure where refusal.status == 404 {
            found = nil
        }
        let entry = Entry(
            organization: found, expires: now.addingTimeInterval(found?.isActive == true ? Self.lifetime : Self.refusalLifetime))
        entries.withLock { entries in
            if entries.count >= Self.maximumEntries { entries = entries.filter { $0.value.expires > now } }
            if entries.count >= Self.maximumEntries { entries = [:] }
            entries[slug.rawValue] = entry
        }
        return found
    }
}

extension OrganizationReference {
    var isActive: Bool { status == "active" }
}
