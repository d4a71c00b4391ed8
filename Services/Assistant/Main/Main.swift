import AssistantService
import ServiceKit

@main struct Main {
    static func main() async { await Launch.run(Assistant.self) }
}
