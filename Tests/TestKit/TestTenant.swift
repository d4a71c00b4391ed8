package import Contracts
package import Foundation
import JWTKit
package import ServiceKit

/// A fresh organization, with a person for each role that ships.
package struct TestTenant: Sendable {
    package let id: TenantID
    package let owner: TestPerson
    package let admin: TestPerson
    package let editor: TestPerson
    package let user: TestPerson
    package let viewer: TestPerson

    package init() {
        id = .make()
        owner = TestPerson(.owner, in: id)
        admin = TestPerson(.admin, in: id)
        editor = TestPerson(.editor, in: id)
        user = TestPerson(.user, in: id)
        viewer = TestPerson(.viewer, in: id)
    }

    /// A person with just these permissions.
    package func person(may permissions: Permission...) -> TestPerson { TestPerson(permissions: permissions, in: id) }
}

/// Somebody who can sign in: what their token would say.
package struct TestPerson: Sendable {
    package let id: UserID
    package let tenant: TenantID
    package let session: SessionID
    package let roles: [String]
    package let permissions: [Permission]

    package init(_ role: BuiltInRole, in tenant: TenantID) {
        self.init(roles: [role.rawValue], permissions: role.permissions, in: tenant)
    }

    package init(permissions: [Permission], in tenant: TenantID) { self.init(roles: [], permissions: permissions, in: tenant) }

    private init(roles: [String], permissions: [Permission], in tenant: TenantID) {
        id = .make()
        session = .make()
        self.tenant = tenant
        self.roles = roles
        self.permissions = permissions
    }

    package var caller: Caller {
        Caller(.person(id), tenant: tenant, roles: roles, permissions: PermissionSet(permissions), session: session)
    }

    /// What their access token says.
    package func claims(issuedAt: Date, lifetime: TimeInterval = 900, plan: String = "starter") -> AccessClaims {
        AccessClaims(
            user: id, session: session, tenant: tenant, roles: roles, permissions: permissions, plan: plan, amr: ["pwd"],
            issuedAt: issuedAt, lifetime: lifetime)
    }

    /// A signed access token, as auth would make it.
    package func token(now: Date = Date(), lifetime: TimeInterval = 900, plan: String = "starter") async throws -> String {
        try await TestKeys.sign(claims(issuedAt: now, lifetime: lifetime, plan: plan))
    }
}
