import Foundation
import TestKit
import Testing

@Suite("The gateway in a cluster")
struct DeploymentTests {
    @Test("What every program shares is data: Kubernetes takes no setting anywhere else")
    func sharedSettings() throws {
        let file = URL(filePath: Repository.root).appending(path: "k8s/base/platform/configuration.yaml")
        let parts = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\ndata:\n")
        #expect(parts.count == 2)
        #expect(parts.first?.contains("TRIONEX_") == false)
        #expect(parts.last?.contains("\n  TRIONEX_PUBLIC_URL: https://") == true)
    }
}
