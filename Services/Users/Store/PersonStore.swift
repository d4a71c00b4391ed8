import Contracts
import Foundation
import Postgres

extension PhoneNumber: SQLBindable, SQLDecodable {}
extension TimeZoneName: SQLBindable, SQLDecodable {}
extension LanguageTag: SQLBindable, SQLDecodable {}
extension RoleName: SQLBindable, SQLDecodable {}
extension PersonStatus: SQLBindable, SQLDecodable {}
extension CalendarDate: SQLBindable, SQLDecodable {}

/// The people of the caller's organization.
struct PersonStore {
    let tx: Transaction

    /// What a role of the organization's own grants comes with the person, as it is now.
    static let columns: SQL = """
        p.user_id, p.email, p.first_name, p.last_name, p.role, p.status, p.company, p.job_title, p.phone, p.timezone, p.language,
        p.gdpr_consent, p.marketing_consent, p.data_retention_until::text AS data_retention_until, p.created_at, p.updated_at, p.version,
        (SELECT r.permissions FROM roles r WHERE r.tenant_id = p.tenant_id AND r.name = p.role) AS role_permissions
        """

    static func read(_ row: Row) throws -> Person {
        let role: RoleName = try row("role")
        let own: [String]? = try row("role_permissions")
        return Person(
            id: try row("user_id"), email: try row("email"),
            profile: Profile(
                firstName: try row("first_name"), lastName: try row("last_name"), company: try row("company"),
                jobTitle: try row("job_title"), phone: try row("phone"), timezone: try row("timezone"), language: try row("language"),
                marketingConsent: try row("marketing_consent"), dataRetentionUntil: try row("data_retention_until")),
            role: role, permissions: role.builtIn?.permissions ?? (own ?? []).compactMap { Permission($0) }, status: try row("status"),
            gdprConsent: try row("gdpr_consent"), createdAt: try row("created_at"), updatedAt: try row("updated_at"),
            version: try row("version"))
    }

    static func find(_ id: UserID) -> Query<Person> {
        Query("SELECT \(fragment: columns) FROM people p WHERE p.user_id = \(id)", read)
    }

    struct Filter: Sendable {
        var role: RoleName?
        var status: PersonStatus?
        var text: String?
        var email: EmailAddress?
        var company: Name?
        var createdFrom: Date?
        var createdBefore: Date?
    }

    enum Order: Sendable {
        case newestFirst, oldestFirst, email, emailDescending
    }

    /// Where a page begins: after the last one's sort key.
    enum Position: Sendable {
        case time(Date, UUID)
        case email(String)
    }

    static func page(_ filter: Filter, _ order: Order, after position: Position?, limit: Int) -> Query<Person> {
        var conditions = conditions(filter)
        switch (order, position) {
        case (.newestFirst, .time(let time, let id)): conditions.append("(p.created_at, p.user_id) < (\(time), \(id))")
        case (.oldestFirst, .time(let time, let id)): conditions.append("(p.created_at, p.user_id) > (\(time), \(id))")
        case (.email, .email(let email)): conditions.append("p.email > \(email)")
        case (.emailDescending, .email(let email)): conditions.append("p.email < \(email)")
        default: break
        }
        let sorting: SQL =
            switch order {
            case .newestFirst: "p.created_at DESC, p.user_id DESC"
            case .oldestFirst: "p.created_at, p.user_id"
            case .email: "p.email"
            case .emailDescending: "p.email DESC"
            }
        return Query(
            """
            SELECT \(fragment: columns) FROM people p WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY \(fragment: sorting) LIMIT \(limit)
            """, read)
    }

    private static func conditions(_ filter: Filter) -> [SQL] {
        var conditions: [SQL] = ["true"]
        if let role = filter.role { conditions.append("p.role = \(role)") }
        if let status = filter.status { conditions.append("p.status = \(status)") }
        if let email = filter.email { conditions.append("p.email = \(email)") }
        if let company = filter.company { conditions.append("p.company = \(company)") }
        if let time = filter.createdFrom { conditions.append("p.created_at >= \(time)") }
        if let time = filter.createdBefore { conditions.append("p.created_at < \(time)") }
        if let text = filter.text { conditions.append("p.search LIKE lower(\(containing(text))::text)") }
        return conditions
    }

    /// A pattern that finds the text itself, whatever signs are in it.
    private static func containing(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "%", with: "\\%")
            .replacingOccurrences(of: "_", with: "\\_")
        return "%\(escaped)%"
    }

    func find(_ id: UserID) throws -> Person? { try tx.first(Self.find(id)) }

    func find(_ email: EmailAddress) throws -> Person? {
        try tx.first(Query("SELECT \(fragment: Self.columns) FROM people p WHERE p.email = \(email)", Self.read))
    }

    /// The caller, with the rights that their row gives them now: what every change asks before anything else.
    func actor(_ caller: Caller, needing permission: Permission?) throws -> Actor {
        try Actor(caller, now: try caller.user.flatMap { try find($0) }, needing: permission)
    }

    func lock(_ id: UserID) throws -> Person {
        let found = try tx.first(
            Query("SELECT \(fragment: Self.columns) FROM people p WHERE p.user_id = \(id) FOR UPDATE OF p", Self.read))
        guard let found else { throw ResourceFailure.notFound }
        return found
    }

    /// Active owners beside this person. The organization must be locked, or two owners could remove each other.
    func otherOwners(than id: UserID) throws -> Int {
        let row = try tx.first("SELECT count(*) AS count FROM people WHERE role = 'owner' AND status = 'active' AND user_id <> \(id)")
        return try row?("count") ?? 0
    }

    /// Throws `MemberFailure.emailTaken`.
    func insert(_ person: Person) throws {
        let profile = person.profile
        do {
            try tx.execute(
                """
                INSERT INTO people (tenant_id, user_id, email, first_name, last_name, role, status, company, job_title, phone, timezone,
                    language, gdpr_consent, marketing_consent, data_retention_until, created_at, updated_at, version)
                VALUES (\(tx.caller.tenant), \(person.id), \(person.email), \(profile.firstName), \(profile.lastName), \(person.role),
                    \(person.status), \(profile.company), \(profile.jobTitle), \(profile.phone), \(profile.timezone), \(profile.language),
                    \(person.gdprConsent), \(profile.marketingConsent), \(profile.dataRetentionUntil)::date, \(person.createdAt),
                    \(person.updatedAt), \(person.version))
                """)
        } catch let failure as PostgresFailure where failure.isUniqueViolation {
            throw MemberFailure.emailTaken
        }
    }

    /// `id` is who the row is of until now: somebody who joins may get the id of their account.
    func save(_ person: Person, instead id: UserID? = nil) throws {
        let profile = person.profile
        try tx.execute(
            """
            UPDATE people SET user_id = \(person.id), first_name = \(profile.firstName), last_name = \(profile.lastName),
                role = \(person.role), status = \(person.status), company = \(profile.company), job_title = \(profile.jobTitle),
                phone = \(profile.phone), timezone = \(profile.timezone), language = \(profile.language),
                gdpr_consent = \(person.gdprConsent), marketing_consent = \(profile.marketingConsent),
                data_retention_until = \(profile.dataRetentionUntil)::date, updated_at = \(person.updatedAt), version = \(person.version)
            WHERE user_id = \(id ?? person.id)
            """)
    }

    func remove(_ id: UserID) throws { try tx.execute("DELETE FROM people WHERE user_id = \(id)") }
}
