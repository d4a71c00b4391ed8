import Contracts
import Crypto
import Foundation
import Postgres
import Synchronization

/// Tells the visitors of one day apart without knowing any: address and browser, under a random salt of the organization and the day that
/// is thrown away afterwards. Then the same visitor on another day, or with another organization, is somebody else.
final class Visitors: Sendable {
    /// Salts held in memory.
    static let cacheLimit = 10_000

    private struct Entry {
        let day: Int
        let salt: SymmetricKey
    }

    private let database: Database
    private let salts = Mutex<[TenantID: Entry]>([:])

    init(database: Database) { self.database = database }

    func visitor(_ address: ClientAddress, userAgent: String?, of tenant: TenantID, at time: Date) async throws -> UUID {
        let salt = try await salt(of: tenant, at: time)
        var text = Data(address.bytes)
        text.append(0)
        text.append(contentsOf: (userAgent ?? "").utf8)
        let code = Array(HMAC<SHA256>.authenticationCode(for: text, using: salt))
        // Version 8 of RFC 9562: made by a rule of our own.
        return UUID(
            uuid: (
                code[0], code[1], code[2], code[3], code[4], code[5], code[6] & 0x0F | 0x80, code[7], code[8] & 0x3F | 0x80, code[9],
                code[10], code[11], code[12], code[13], code[14], code[15]
            ))
    }

    /// The same for all replicas, since the first that needs it writes it down.
    private func salt(of tenant: TenantID, at time: Date) async throws -> SymmetricKey {
        let day = Int((time.timeIntervalSince1970 / 86_400).rounded(.down))
        if let known = salts.withLock({ $0[tenant] }), known.day == day { return known.salt }
        let caller = Caller.service(.analytics, for: tenant)
        let fresh = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
        try await database.execute(
            """
            INSERT INTO daily_salts (tenant_id, day, salt) VALUES (\(tenant), (\(time) AT TIME ZONE 'UTC')::date, \(fresh))
            ON CONFLICT (tenant_id, day) DO NOTHING
            """, as: caller)
        let query = Query<Data>("SELECT salt FROM daily_salts WHERE day = (\(time) AT TIME ZONE 'UTC')::date", column: "salt")
        let salt = SymmetricKey(data: try await database.first(query, as: caller) ?? fresh)
        salts.withLock { salts in
            if salts.count >= Self.cacheLimit { salts.removeAll() }
            salts[tenant] = Entry(day: day, salt: salt)
        }
        return salt
    }
}
