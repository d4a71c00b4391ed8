import Contracts
import Foundation
import Postgres

extension PhoneNumber: SQLBindable, SQLDecodable {}
extension TimeZoneName: SQLBindable, SQLDecodable {}
extension LanguageTag: SQLBindable, SQLDecodable {}
extension Role: SQLBindable, SQLDecodable {}
extension PersonStatus: SQLBindable, SQLDecodable {}

/// The people of the caller's organization.
struct PersonStore {
    let tx: Transaction

    static let columns: SQL = """
        p.user_id, p.email, p.first_name, p.last_name, p.role, p.status, p.company, p.job_title, p.phone, p.timezone, p.language,
        p.gdpr_consent, p.marketing_consent, p.created_at, p.updated_at, p.version
        """

    static func read(_ row: Row) throws -> Person {
        Person(
            id: try row("user_id"), email: try row("email"),
            profile: Profile(
                firstName: try row("first_name"), lastName: try row("last_name"), company: try row("company"),
                jobTitle: try row("job_title"), phone: try row("phone"), timezone: try row("timezone"), language: try row("language"),
                marketingConsent: try row("marketing_consent")),
            role: try row("role"), status: try row("status"), gdprConsent: try row("gdpr_consent"), createdAt: try row("created_at"),
            updatedAt: try row("updated_at"), version: try row("version"))
    }

    static func find(_ id: UserID) -> Query<Person> {
        Query("SELECT \(fragment: columns) FROM people p WHERE p.user_id = \(id)", read)
    }

    struct Filter: Sendable {
        var role: Role?
        var status: PersonStatus?
        var text: String?
        var oldestFirst = false
    }

    static func page(_ filter: Filter, after cursor: (Date, UUID)?, limit: Int) -> Query<Person> {
        var conditions: [SQL] = ["true"]
        if let role = filter.role { conditions.append("p.role = \(role)") }
        if let status = filter.status { conditions.append("p.status = \(status)") }
        if let text = filter.text {
            conditions.append("concat_ws(' ', p.email, p.first_name, p.last_name) ILIKE \(containing(text))")
        }
        if let (time, id) = cursor {
            conditions.append(
                filter.oldestFirst
                    ? "(p.created_at, p.user_id) > (\(time), \(id))" : "(p.created_at, p.user_id) < (\(time), \(id))")
        }
        let order: SQL = filter.oldestFirst ? "p.created_at, p.user_id" : "p.created_at DESC, p.user_id DESC"
        return Query(
            """
            SELECT \(fragment: columns) FROM people p WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY \(fragment: order) LIMIT \(limit)
            """, read)
    }

    /// A pattern that finds the text itself, whatever signs are in it.
    private static func containing(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "%", with: "\\%")
            .replacingOccurrences(of: "_", with: "\\_")
        return "%\(escaped)%"
    }

    func find(_ id: UserID) throws -> Person? { try tx.first(Self.find(id)) }

    /// The caller, with the rights that their row gives them now: what every change asks before anything else.
    func actor(_ caller: Caller, needing permission: Permission?) throws -> Actor {
        try Actor(caller, now: try caller.user.flatMap { try find($0) }, needing: permission)
    }

    func lock(_ id: UserID) throws -> Person {
        let found = try tx.first(Query("SELECT \(fragment: Self.columns) FROM people p WHERE p.user_id = \(id) FOR UPDATE", Self.read))
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
                    language, gdpr_consent, marketing_consent, created_at, updated_at, version)
                VALUES (\(tx.caller.tenant), \(person.id), \(person.email), \(profile.firstName), \(profile.lastName), \(person.role),
                    \(person.status), \(profile.company), \(profile.jobTitle), \(profile.phone), \(profile.timezone), \(profile.language),
                    \(person.gdprConsent), \(profile.marketingConsent), \(person.createdAt), \(person.updatedAt), \(person.version))
                """)
        } catch let failure as PostgresFailure where failure.isUniqueViolation && failure.constraint == "people_email" {
            throw MemberFailure.emailTaken
        }
    }

    func save(_ person: Person) throws {
        let profile = person.profile
        try tx.execute(
            """
            UPDATE people SET first_name = \(profile.firstName), last_name = \(profile.lastName), role = \(person.role),
                status = \(person.status), company = \(profile.company), job_title = \(profile.jobTitle), phone = \(profile.phone),
                timezone = \(profile.timezone), language = \(profile.language), marketing_consent = \(profile.marketingConsent),
                updated_at = \(person.updatedAt), version = \(person.version)
            WHERE user_id = \(person.id)
            """)
    }

    func remove(_ id: UserID) throws { try tx.execute("DELETE FROM people WHERE user_id = \(id)") }
}
